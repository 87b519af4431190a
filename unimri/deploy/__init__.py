"""Models outside the workflow: for someone with scans, and for other programs."""
