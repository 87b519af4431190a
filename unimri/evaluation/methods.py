"""The methods that are compared, as data."""

from dataclasses import dataclass

from unimri.errors import UnimriError


@dataclass(frozen=True)
class Method:
    """One row of Table 1.

    Attributes
    ----------
    key : the method's name in files and paths.
    label : its name in tables and figures.
    in_paper : whether the paper has it (Liu et al., MICCAI 2021, Table 1).
    """

    key: str
    label: str
    in_paper: bool = True


METHODS = (
    Method("undersampled", "Undersampled"),
    Method("independent", "Independent"),
    Method("shared", "Shared"),
    Method("proposed", "Proposed"),
    Method("without_distillation", "w/o MD"),
    # The control for Proposed's longer training: S2 continued for S3's steps, without the distillation term.
    Method("without_distillation_longer", "w/o MD, trained on", in_paper=False),
)
"""Every method, in the order of the rows of Table 1."""


def method(key: str) -> Method:
    """Give the method of this key.

    Raises
    ------
    UnimriError : when there is none; the message lists the keys that are allowed.
    """
    for known in METHODS:
        if known.key == key:
            return known
    raise UnimriError(f"method {key!r} is unknown; allowed: {', '.join(known.key for known in METHODS)}")
