"""Dividing patients, never slices, into those to train, validate and test on."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from unimri.core.errors import UnimriError
from unimri.core.settings import Settings

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Fractions(Settings):
    train: float = Field(0.8, gt=0, lt=1, description="Fraction of the patients to train on.")
    validation: float = Field(0.1, gt=0, lt=1, description="Fraction of the patients to choose the best epoch by.")
    test: float = Field(0.1, gt=0, lt=1, description="Fraction of the patients that the results are of.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1, not to {total:g}")
        return self


def split_patients(patients: Iterable[str], fractions: Fractions, seed: int) -> dict[str, Split]:
    """Divide patients into train, validation and test.

    The order of a keyed hash of the name divides them, so the result depends on neither their order nor how
    often each is given.

    Parameters
    ----------
    patients : names; at least three different ones.
    fractions : of the patients, for each split. Sizes are within one patient of them, unless a split that
        would be empty takes one from the others.
    seed : another seed gives another division.

    Returns
    -------
    Split of each patient; no split is empty.

    Raises
    ------
    UnimriError
        When there are fewer than three patients.
    """
    key = str(seed).encode()
    patients = set(patients)
    check_patients(patients)
    shuffled = sorted(patients, key=lambda patient: blake2b(patient.encode(), key=key).digest())
    sizes = _sizes(len(shuffled), fractions)
    assigned = [split for split in SPLITS for _ in range(sizes[split])]
    return dict(zip(shuffled, assigned, strict=True))


def check_patients(patients: Iterable[str]) -> None:
    """Raise UnimriError when there are too few patients for each split to have one."""
    count = len(set(patients))
    if count < len(SPLITS):
        raise UnimriError(f"{count} patient(s), but at least three are needed: to train, validate and test on")


def _sizes(count: int, fractions: Fractions) -> dict[Split, int]:
    """Largest remainders, with one patient at least in each split."""
    ideal: dict[Split, float] = {split: count * getattr(fractions, split) for split in SPLITS}
    sizes: dict[Split, int] = {split: max(1, int(ideal[split])) for split in SPLITS}
    while sum(sizes.values()) < count:
        sizes[max(SPLITS, key=lambda split: ideal[split] - sizes[split])] += 1
    while sum(sizes.values()) > count:
        sizes[max(SPLITS, key=lambda split: (sizes[split] > 1, sizes[split] - ideal[split]))] -= 1
    return sizes
