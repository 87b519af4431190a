import pytest

from unimri.core.errors import UnimriError
from unimri.evaluation.paper import published
from unimri.training.methods import METHODS, method


def test_labels_by_key():
    assert [known.title for known in METHODS if known.in_paper] == [
        "Undersampled",
        "Independent",
        "Shared",
        "Proposed",
        "w/o MD",
    ]
    assert method("layer2").title == "layer 2"
    assert method("without_distillation").title == "w/o MD"


def test_the_papers_methods_are_those_it_publishes_in_its_order():
    assert [known.key for known in METHODS if known.in_paper] == list(published()["method"].unique())


def test_an_unknown_method_is_refused_with_what_is_allowed():
    with pytest.raises(
        UnimriError, match="'best' is unknown; allowed: undersampled, conjugate_filling, total_variation"
    ):
        method("best")


def test_what_the_paper_does_not_have_says_what_it_is():
    assert all(known.note for known in METHODS if not known.in_paper)
