"""What lies below a folder: links, names, and that nothing is left without a word."""

import os
from pathlib import Path

import pytest

from unimri.core.errors import UnimriError
from unimri.io.volume import excluded, files_below, has_suffix, is_label, passed_lines, walk, without_suffix


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    return path


def names(root: Path, paths) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_links_to_folders_and_files_are_followed(tmp_path):
    root = tmp_path / "set"
    touch(root / "real/a")
    touch(tmp_path / "kept/sub/b")
    touch(tmp_path / "elsewhere/c")
    (root / "linked").symlink_to(tmp_path / "kept")
    (tmp_path / "kept/more").symlink_to(tmp_path / "elsewhere")
    (root / "d").symlink_to(tmp_path / "elsewhere/c")
    walked = walk(root)
    # The file that two ways lead to counts once.
    assert names(root, walked.files) == ["d", "linked/sub/b", "real/a"]
    assert [one.path.name for one in walked.passed] == ["c"]
    assert not walked.faults
    (tmp_path / "root").symlink_to(root)
    assert names(tmp_path / "root", walk(tmp_path / "root").files) == ["d", "linked/sub/b", "real/a"]


def test_circles_end_and_what_is_reached_twice_counts_once_under_its_real_name(tmp_path):
    root = tmp_path / "set"
    touch(root / "b/x")
    (root / "a").symlink_to(root / "b")
    (root / "b/back").symlink_to(root)
    (root / "b/up").symlink_to(tmp_path)
    (root / "a-file").symlink_to(root / "b/x")
    os.link(root / "b/x", root / "z")
    walked = walk(root)
    assert names(root, walked.files) == ["b/x"]
    assert names(root, [one.path for one in walked.passed]) == ["a", "a-file", "b/back", "b/up", "z"]
    assert all("by another name" in one.reason for one in walked.passed)


def test_broken_links_and_what_is_no_file_are_told(tmp_path):
    touch(tmp_path / "a")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe")
    touch(tmp_path / ".hidden/b")
    touch(tmp_path / ".snakemake_timestamp")
    walked = walk(tmp_path)
    assert names(tmp_path, walked.files) == ["a"] == names(tmp_path, files_below(tmp_path))
    assert [fault.reason for fault in walked.faults] == [
        "is a link to what is not there",
        "is a link that leads in a circle",
    ]
    assert [(one.path.name, one.reason.split()[1]) for one in walked.passed] == [(".hidden", "hidden:"), ("pipe", "a")]


def test_a_folder_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    touch(tmp_path / "a/x")
    touch(tmp_path / "b/x")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (fault,) = walk(tmp_path).faults
    assert str(fault) == f"{tmp_path}/b: its folder cannot be opened (permission denied); check its permissions"
    with pytest.raises(UnimriError, match="no such folder"):
        walk(tmp_path / "none")


def test_case_of_endings_does_not_matter():
    ends = (".nii", ".nii.gz")
    assert all(has_suffix(Path(name), ends) for name in ("a.nii", "A.NII", "a.Nii.GZ"))
    assert not has_suffix(Path("a.nii.gz.md5"), ends)
    assert [without_suffix(Path(name), ends) for name in ("A.NII.GZ", "a.b.nii", "c")] == ["A", "a.b", "c"]


@pytest.mark.parametrize(
    "name",
    [
        "x_mask.nii.gz",
        "MASK.nii",
        "mask1.nii",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_dseg.nii.gz",
        "sub-01_label-GM_probseg.nii.gz",
        "labelsTr/x.nii.gz",
        "x_SEG.nii",
        "seg/x.nii",
        "aparc+aseg.nii.gz",
        "brainmask.nii.gz",
        "roi.nii",
        "x-roi2.nii",
    ],
)
def test_masks_and_label_maps_are_no_scans(name):
    assert is_label(Path(name))


@pytest.mark.parametrize("name", ["T1.nii.gz", "sub-01/T2_masked.nii", "unmasked.nii", "heroic.nii", "segovia/T1.nii"])
def test_other_names_are_scans(name):
    assert not is_label(Path(name))


def test_one_line_a_reason_names_folders_and_counts_files(tmp_path):
    files = [tmp_path / "seg" / f"{number:02d}.nii" for number in range(30)]
    passed = [one for path in files if (one := excluded(tmp_path, path, ["seg"]))]
    assert passed_lines(passed, tmp_path) == ["passed over: 30 files (is a mask or label map by its name): seg"]
    assert passed_lines(passed, tmp_path, private=True) == [
        "passed over: 30 files (is a mask or label map by its name)"
    ]
    (line,) = passed_lines([one for path in files if (one := excluded(tmp_path, path, ["*.nii"]))], tmp_path)
    assert line.startswith("passed over: 30 files (is excluded by its name): seg/00.nii, seg/01.nii")
    assert line.endswith("seg/19.nii, and 10 more")
