"""Damage to a file of any format, through the door that `unimri reconstruct` takes: images, or one line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scan_files import header_of, noise, write_fastmri, write_image, write_ismrmrd

from unimri.core.errors import UnimriError
from unimri.io.formats import find_sources
from unimri.io.notes import heard
from unimri.io.volume import Images


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 9, (2, 12, 10)).astype(np.float32)


def npy(path: Path) -> None:
    np.save(path, images())


def npy_kspace(path: Path) -> None:
    np.save(path, noise(2, 12, 10))


def npz(path: Path) -> None:
    np.savez_compressed(path, kspace=noise(2, 3, 12, 10), mask=np.arange(10) % 2 == 1, truth=images())


def nifti(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(images().T, np.eye(4)), path)


def dicom(path: Path) -> None:
    geometry = {"ImagePositionPatient": [0, 0, 1], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    write_image(path, np.arange(100, dtype=np.uint16).reshape(10, 10), RescaleSlope="2", **geometry)


def fastmri(path: Path) -> None:
    write_fastmri(path, compression="gzip", kspace=noise(2, 16, 10), mask=np.arange(10) % 2 == 1)


def ismrmrd(path: Path) -> None:
    write_ismrmrd(path, noise(1, 2, 16, 10), header_of(16, 10, 8, 6))


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.npy": npy,
    "b.npy": npy_kspace,
    "a.npz": npz,
    "a.nii": nifti,
    "a.nii.gz": nifti,
    "a.dcm": dicom,
    "a.h5": fastmri,
    "b.h5": ismrmrd,
}
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8)


def changed(content: bytes, changes: list[tuple[int, int]], end: int, packed: bool) -> bytes:
    """With other bytes, most often of the header, and some of them cut at `end`; of what is packed, its content."""
    mutated = bytearray(gzip.decompress(content) if packed else content)
    for number, (place, value) in enumerate(changes):
        mutated[place % (len(mutated) if number % 2 else min(400, len(mutated)))] = value
    cut = bytes(mutated[: end % len(mutated)] if end % 4 == 0 else mutated)
    return gzip.compress(cut, 1) if packed else cut


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, end=st.integers(0, 10**6))
def test_no_damage_gives_more_than_an_error(
    name: str, tmp_path: Path, changes: list[tuple[int, int]], end: int
) -> None:
    whole, path = tmp_path / f"whole-{name}", tmp_path / "raw" / name
    if not whole.exists():
        WRITERS[name](whole)
        path.parent.mkdir()
    path.write_bytes(changed(whole.read_bytes(), changes, end, name.endswith(".gz")))
    told = None
    try:
        with heard():
            for source in find_sources(path.parent):
                content = source.open()
                if isinstance(content, Images):
                    slices = [content.images]
                else:
                    assert content.mask.any(-1).all()
                    assert content.measured(slice(0, 1)).dtype == np.complex64
                    slices = [content.kspace, *([] if content.truth is None else [content.truth])]
                for stack in slices:
                    for slice_ in stack:
                        assert np.isfinite(slice_).all()
    except UnimriError as fault:
        told = str(fault)
    assert told is None or (told.startswith(str(path.parent)) and "\n" not in told)
