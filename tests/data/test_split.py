"""The division of patients holds for any names, fractions and seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unimri.core.errors import UnimriError
from unimri.data.index import Fractions, split_patients
from unimri.data.store import SPLITS

names = st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=60)


@st.composite
def fractions(draw):
    parts = draw(st.tuples(*[st.integers(1, 100)] * 3))
    return Fractions(**{split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)})


@given(names, fractions(), st.integers(0, 2**32))
def test_every_patient_is_in_one_split_and_no_split_is_empty(patients, fractions, seed):
    division = split_patients(patients, fractions, seed)
    assert set(division) == patients
    assert set(division.values()) == set(SPLITS)


@given(names, fractions(), st.integers(0, 2**32))
def test_sizes_are_within_a_patient_of_the_fractions(patients, fractions, seed):
    division = split_patients(patients, fractions, seed)
    ideal = [len(patients) * getattr(fractions, split) for split in SPLITS]
    if min(ideal) >= 1:
        for split, size in zip(SPLITS, ideal, strict=True):
            assert abs(list(division.values()).count(split) - size) <= 1


@given(names, st.integers(0, 2**32), st.randoms())
def test_neither_order_nor_repetition_matters(patients, seed, random):
    mixed = sorted(patients) * 2
    random.shuffle(mixed)
    assert split_patients(mixed, Fractions(), seed) == split_patients(sorted(patients), Fractions(), seed)


def test_paper_fractions_of_ten_patients():
    sizes = list(split_patients([str(n) for n in range(10)], Fractions(), 0).values())
    assert [sizes.count(split) for split in SPLITS] == [8, 1, 1]


def test_another_seed_divides_otherwise():
    patients = [str(n) for n in range(40)]
    assert split_patients(patients, Fractions(), 0) != split_patients(patients, Fractions(), 1)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_patients_are_reported(count):
    with pytest.raises(UnimriError, match=f"^{count} patient.*at least three"):
        split_patients([str(n) for n in range(count)] * 2, Fractions(), 0)


def test_fractions_must_sum_to_one():
    with pytest.raises(ValidationError, match="sum to 1"):
        Fractions(train=0.8, validation=0.1, test=0.2)
    with pytest.raises(ValidationError, match="greater than 0"):
        Fractions(train=0.9, validation=0.1, test=0.0)
