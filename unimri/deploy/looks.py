"""How many numbers a look has, apart from what computes them: descriptions are read in many places without torch."""

LEVELS = (0.03, 0.1, 0.2, 0.4, 0.6)
"""Fractions of a volume's largest intensity; a look holds how much of a slice is brighter than each."""

FEATURES = 18 + len(LEVELS)
"""Numbers that a slice looks like, see `unimri.deploy.choice`."""
