import pytest

from unimri.errors import UnimriError
from unimri.evaluation.methods import METHODS, method
from unimri.evaluation.paper import published


def test_labels_by_key():
    assert {known.key: known.label for known in METHODS} == {
        "undersampled": "Undersampled",
        "independent": "Independent",
        "shared": "Shared",
        "proposed": "Proposed",
        "without_distillation": "w/o MD",
        "without_distillation_longer": "w/o MD, trained on",
    }
    assert method("without_distillation").label == "w/o MD"


def test_the_papers_methods_are_those_it_publishes_in_its_order():
    assert [known.key for known in METHODS if known.in_paper] == list(published()["method"].unique())


def test_an_unknown_method_is_refused_with_what_is_allowed():
    with pytest.raises(UnimriError, match="'best' is unknown; allowed: undersampled, independent, shared"):
        method("best")
