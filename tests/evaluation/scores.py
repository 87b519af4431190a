"""Rows of metrics CSVs, by what a test cares for."""

from unimri.evaluation.metrics import SliceScore


def row(acceleration, seed, method, anatomy, volume, number, psnr, ssim, patient=None, mask="fixed"):
    """One slice's row; a volume is its patient's only one unless the patient is told."""
    own = (0.001, psnr - 1, ssim - 1)
    return SliceScore(mask, acceleration, seed, method, anatomy, patient or volume, volume, number, psnr, ssim, *own)
