"""Functional groups, which describe the frames of an enhanced DICOM image."""

from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag

# By number: asked of every file, and pydicom takes longer to look a name up.
_EACH, _SHARED = Tag("PerFrameFunctionalGroupsSequence"), Tag("SharedFunctionalGroupsSequence")

_NOTHING = Dataset()


def is_enhanced(dataset: Any) -> bool:
    """Whether functional groups describe the frames of a file."""
    return _EACH in dataset or _SHARED in dataset


def functional_group(dataset: Any, index: int, keyword: str) -> Any:
    """The item that describes a frame of an enhanced image in one respect, or an empty dataset.

    Parameters
    ----------
    dataset : of the file.
    index : of the frame.
    keyword : of the group's sequence; what is said of the frame goes before what is said of all.
    """
    if not is_enhanced(dataset):
        return _NOTHING
    each, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    for groups in (each[index] if each else None, shared[0] if shared else None):
        if groups is not None and groups.get(keyword):
            return groups[keyword].value[0]
    return _NOTHING
