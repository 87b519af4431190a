"""NIfTI out: order, header, type and scale as they came in."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension
from scan_files import MADE, PRIVATE

from unimri.core.errors import ReadError
from unimri.io.formats import find_sources
from unimri.io.volume import Provenance

AFFINE = np.array([[0, -1.5, 0, 10], [2, 0, 0.1, -20], [0, 0, 3, 5], [0, 0, 0, 1]])


def write(path, stored, slope=1.0, inter=0.0, edit=lambda header: None, kind=nib.Nifti1Image):
    """Stored integers or floats, with a scale."""
    image = kind(stored, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(AFFINE, code=2)
    image.set_qform(np.diag([2, 1.5, 3, 1]), code=1)
    edit(image.header)
    image.header.set_slope_inter(slope, inter)
    nib.save(image, path)
    return path


def reconstructed(path, output, provenance, change=lambda images: images):
    """The file that is written of what was read."""
    (source,) = find_sources(path)
    (written,) = source.write(change(source.read().images).astype(np.float32), output, provenance)
    return nib.load(written)


def raw(image):
    return np.asarray(image.dataobj.get_unscaled())


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    kind=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
    slope=st.sampled_from([1.0, 0.5, 6.3618, 1e-3]),
    inter=st.sampled_from([0.0, 10.5]),
    end=st.sampled_from([".nii", ".nii.gz"]),
    seed=st.integers(0, 99),
)
def test_what_was_read_is_written_as_it_was_stored(tmp_path_factory, shape, kind, slope, inter, end, seed):
    folder = tmp_path_factory.mktemp("round")
    stored = np.random.default_rng(seed).integers(0, 200, shape).astype(kind)
    stored.flat[0], stored.flat[-1] = 0, 201
    if stored.size == 1:
        return
    path = write(folder / f"in{end}", stored, slope, inter)
    again = reconstructed(path, folder / f"out{end}", Provenance("m", "brain", 4.0, True, "0.1.0"))
    old = nib.load(path)
    assert again.shape == old.shape
    np.testing.assert_allclose(raw(again), stored, rtol=1e-5, atol=0 if np.issubdtype(kind, np.integer) else 2e-2)
    for field in old.header:
        if field != "descrip":
            np.testing.assert_array_equal(again.header[field], old.header[field], field)
    assert (again.dataobj.slope, again.dataobj.inter) == (old.dataobj.slope, old.dataobj.inter)
    np.testing.assert_array_equal(again.affine, old.affine)


def test_slices_go_back_to_their_places(tmp_path):
    stored = np.arange(5 * 6 * 3 * 2, dtype=np.int16).reshape(5, 6, 3, 2)
    path = write(tmp_path / "a.nii.gz", stored)
    (source,) = find_sources(path)
    images = np.zeros((6, 5, 6), np.float32)
    images[3] = 7  # second slice, second time
    (written,) = source.write(images, tmp_path / "out.nii.gz", MADE)
    assert np.argwhere(raw(nib.load(written)) == 7)[:, 2:].tolist() == [[1, 1]] * 30


def test_rounding_keeps_integers_and_the_header_says_what_was_made(tmp_path):
    path = write(tmp_path / "a.nii", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image = reconstructed(path, tmp_path / "out.nii", MADE, lambda images: images + 0.4)
    np.testing.assert_array_equal(raw(image).ravel(), np.arange(60))
    assert image.header["descrip"] == b"unimri 4x brain"


@pytest.mark.parametrize(
    ("kind", "factor", "wider"),
    [
        (np.uint8, 1, np.uint8),
        (np.uint8, 100, np.int16),
        (np.uint8, 250, np.uint16),
        (np.int16, 250, np.uint16),
        (np.int16, 1e5, np.int32),
        (np.uint16, 1e7, np.uint32),
        (np.uint8, 1e9, np.float32),
        (np.float32, 1e9, np.float32),
    ],
)
def test_the_type_is_widened_before_anything_is_clipped(tmp_path, kind, factor, wider):
    stored = np.linspace(0, 255, 60).astype(kind).reshape(3, 4, 5)
    path = write(tmp_path / "a.nii", stored, slope=2.0)
    image = reconstructed(path, tmp_path / "out.nii", MADE, lambda images: images * factor)
    assert image.get_data_dtype() == wider
    np.testing.assert_allclose(image.get_fdata(), stored * 2.0 * factor, rtol=1e-6)


def test_big_endian_and_nifti_2_stay_what_they_are(tmp_path):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = nib.Nifti1Image(stored, AFFINE, nib.Nifti1Header(endianness=">"))
    nib.save(image, tmp_path / "big.nii")
    big = reconstructed(tmp_path / "big.nii", tmp_path / "out-big.nii", MADE)
    assert big.header.endianness == ">"
    np.testing.assert_array_equal(raw(big), stored)
    second = reconstructed(write(tmp_path / "2.nii.gz", stored, kind=nib.Nifti2Image), tmp_path / "out-2.nii.gz", MADE)
    assert isinstance(second, nib.Nifti2Image)
    np.testing.assert_array_equal(raw(second), stored)


def test_a_complex_file_becomes_one_of_magnitudes(tmp_path):
    stored = (np.arange(60) * (3 + 4j)).astype(np.complex64).reshape(3, 4, 5)
    image = reconstructed(write(tmp_path / "a.nii", stored), tmp_path / "out.nii", MADE)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(image.get_fdata(), np.abs(stored), rtol=1e-6)


def test_no_text_of_the_header_reaches_a_deidentified_file(tmp_path):
    def plant(header):
        for field in ("descrip", "aux_file", "db_name", "intent_name"):
            header[field] = b"PLANTED"
        header.extensions.append(Nifti1Extension("comment", b"PLANTED"))

    (tmp_path / "PLANTED").mkdir()
    for name in ("PLANTED-1.nii", "PLANTED-2.nii"):
        write(tmp_path / "PLANTED" / name, np.arange(60, dtype=np.int16).reshape(3, 4, 5), edit=plant)
    for source in find_sources(tmp_path / "PLANTED"):
        (hidden,) = source.write(source.read().images, tmp_path / "hidden", PRIVATE)
        assert hidden.name.startswith(f"volume-000{source.number}.nii")
        assert b"PLANTED" not in nib.load(hidden).header.binaryblock
        assert not nib.load(hidden).header.extensions
        (kept,) = source.write(source.read().images, tmp_path / "kept", MADE)
        assert b"PLANTED" in nib.load(kept).header.binaryblock
        assert nib.load(kept).header.extensions[0].get_content() == b"PLANTED"


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_of_a_deidentified_header_only_what_is_allowed_is_the_inputs(tmp_path, kind):
    """Every byte of two headers that are not of shape, type, scale or geometry is set, and gone in what is written."""
    allowed = {
        *("sizeof_hdr", "magic", "vox_offset", "dim", "pixdim", "datatype", "bitpix", "scl_slope", "scl_inter"),
        *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
        *("srow_x", "srow_y", "srow_z", "xyzt_units", "eol_check"),
    }
    affine = np.diag([2.0, 3, 4, 1])
    path = tmp_path / "in.nii"
    nib.save(kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine), path)
    content, dtype = bytearray(path.read_bytes()), nib.load(path).header.structarr.dtype
    for name, (type_, place, *_) in dtype.fields.items():
        if name not in allowed:
            content[place : place + type_.itemsize] = (b"DOE^JANE1957" * 8)[: type_.itemsize]
    # The code of an intent that is an image.
    intent = dtype.fields["intent_code"]
    content[intent[1] : intent[1] + intent[0].itemsize] = (2001).to_bytes(intent[0].itemsize, "little")
    # Of three axes, five sizes of voxels mean nothing.
    voxels = dtype.fields["pixdim"]
    size = voxels[0].base.itemsize
    content[voxels[1] + 4 * size : voxels[1] + 8 * size] = (b"DOE^JANE1957" * 8)[: 4 * size]
    path.write_bytes(content)
    (source,) = find_sources(path)
    (written,) = source.write(source.read().images, tmp_path / "out.nii", PRIVATE)
    result, fresh = nib.load(written), kind(np.zeros((3, 4, 5), np.int16), affine).header
    assert b"JANE" not in written.read_bytes()
    np.testing.assert_array_equal(result.affine, affine)
    for name in set(dtype.names) - allowed - {"descrip"}:
        assert result.header[name].tobytes() == fresh[name].tobytes(), name
    assert result.header["descrip"].item() == b"unimri 4x brain"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_of_any_axis_goes_back_to_its_place(tmp_path, axis):
    stored = np.expand_dims(np.arange(30, dtype=np.int16).reshape(5, 6), axis)
    image = reconstructed(write(tmp_path / "a.nii", stored), tmp_path / "out.nii", MADE)
    np.testing.assert_array_equal(np.asarray(image.dataobj), stored)


@pytest.mark.parametrize(("name", "lie"), [("a.nii", "b.nii.gz"), ("a.nii.gz", "b.nii")])
def test_what_is_packed_against_its_name_is_written_as_its_name_says(tmp_path, name, lie):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = write(tmp_path / name, stored).rename(tmp_path / lie)
    (source,) = find_sources(path)
    (written,) = source.write(source.read().images, tmp_path / "out", MADE)
    np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), stored)


def test_an_input_that_has_changed_is_told_and_nothing_is_written(tmp_path):
    path = write(tmp_path / "a.nii", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    (source,) = find_sources(path)
    images = source.read().images
    write(path, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    with pytest.raises(ReadError, match="another shape"):
        source.write(images, tmp_path / "out.nii", MADE)
    assert [each.name for each in tmp_path.iterdir()] == ["a.nii"]
