"""Compressed DICOM: equal pixels, and damage that ends no more than the reading of one file."""

import gdcm
import numpy as np
import pytest
from damage import crash, hang
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from scan_files import write_image

from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import DicomReader
from unimri.io import isolated
from unimri.io.dicom import pixels as dicom_pixels
from unimri.io.dicom.pixels import decode, decoded, open_image

SETTINGS = DicomReader(negatives="magnitude")
SYNTAXES = [RLELossless, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless]


def compress(path, syntax):
    """Compress a file in place."""
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
        return
    kinds = {
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    }
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(kinds[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()


def image(bits, signed, seed=0):
    """A smooth image with noise over the whole range, (72, 64)."""
    rng = np.random.default_rng(seed)
    smooth = np.sin(np.arange(72) / 7)[:, None] * np.cos(np.arange(64) / 5)
    values = np.clip((smooth + 1) / 2 + rng.normal(scale=0.02, size=smooth.shape), 0, 1) * (2**bits - 1)
    return (values - 2 ** (bits - 1)).astype(np.int16) if signed else values.astype(np.uint16)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("bits", "signed"), [(12, False), (12, True), (16, False), (16, True)])
def test_pixels_are_exact(tmp_path, syntax, bits, signed):
    images = [image(bits, signed, seed) for seed in range(2)]
    for k, pixels in enumerate(images):
        path = write_image(tmp_path / f"{k}.dcm", pixels, BitsStored=bits, InstanceNumber=k)
        compress(path, syntax)
        assert dcmread(path).file_meta.TransferSyntaxUID == syntax
    (scan,) = SETTINGS.find(tmp_path)
    np.testing.assert_array_equal(SETTINGS.read_scan(scan), np.abs(np.stack(images).astype(np.float32)))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_frames_are_exact(tmp_path, syntax):
    frames = np.stack([image(12, False, seed) for seed in range(3)])
    compress(write_image(tmp_path / "a.dcm", frames, BitsStored=12), syntax)
    np.testing.assert_array_equal(SETTINGS.read_scan(SETTINGS.find(tmp_path)[0]), frames)


def _replace(path, stream):
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_damaged_streams_never_end_the_interpreter(tmp_path, syntax):
    path = write_image(tmp_path / "a.dcm", image(12, False), BitsStored=12)
    compress(path, syntax)
    stream = get_frame(dcmread(path).PixelData, 0, number_of_frames=1)
    _replace(path, stream[: len(stream) // 2])
    with pytest.raises(ReadError, match=r"a\.dcm: its pixel data cannot be decoded"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(6):
        damaged = bytearray(stream)
        for place in rng.integers(0, len(stream) // 3, 8):
            damaged[place] = rng.integers(256)
        _replace(path, bytes(damaged))
        # Other bytes may still be an image: lossless streams carry no checksum.
        try:
            assert SETTINGS.read_scan(SETTINGS.find(tmp_path)[0]).shape == (1, 72, 64)
        except ReadError:
            told += 1
    assert told or syntax == RLELossless


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("header", [{"Rows": 64, "Columns": 72}, {"Rows": 30_000, "Columns": 30_000}])
def test_a_stream_of_another_size_than_declared_is_told_before_it_is_decoded(tmp_path, syntax, header):
    path = write_image(tmp_path / "a.dcm", image(12, False), BitsStored=12)
    compress(path, syntax)
    dataset = dcmread(path)
    dataset.update(header)
    dataset.save_as(path)
    # Run lengths do not tell rows from columns.
    if syntax == RLELossless and header["Rows"] == 64:
        return
    with path.open("rb") as file, pytest.raises(ValueError, match="another size"):
        list(decode(open_image(path).dataset, file))
    with pytest.raises(UnimriError, match=r"a\.dcm: its pixel data cannot be decoded"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


@pytest.mark.parametrize("fault", [crash, hang])
def test_a_decoder_that_crashes_or_hangs_is_told_and_the_next_file_is_read(tmp_path, monkeypatch, fault):
    pixels = image(12, False)
    compress(write_image(tmp_path / "a.dcm", pixels, BitsStored=12), RLELossless)
    (scan,) = SETTINGS.find(tmp_path)
    worker = isolated.Worker(seconds=3)
    monkeypatch.setattr(isolated, "_WORKER", worker)
    monkeypatch.setattr(dicom_pixels, "decoded", fault)
    with pytest.raises(ReadError, match=r"a\.dcm: its pixel data cannot be decoded"):
        SETTINGS.read_scan(scan)
    monkeypatch.setattr(dicom_pixels, "decoded", decoded)
    np.testing.assert_array_equal(SETTINGS.read_scan(scan), pixels[None])
    worker.close()


def test_a_file_that_changes_after_its_header_was_read_is_told(tmp_path):
    path = write_image(tmp_path / "a.dcm", image(12, False), BitsStored=12)
    compress(path, RLELossless)
    opened = open_image(path)
    compress(write_image(path, image(12, False)[:40], BitsStored=12), RLELossless)
    with pytest.raises(ReadError, match=r"a\.dcm: its pixel data cannot be decoded"):
        list(opened.pixels())


def test_an_encoding_that_is_not_known_is_told(tmp_path):
    path = write_image(tmp_path / "a.dcm", image(12, False))
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([bytes(60)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.save_as(path)
    with pytest.raises(UnimriError, match=r"a\.dcm: is compressed in a way.*gdcmconv"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_a_decoder_that_is_not_installed_is_told(tmp_path, monkeypatch):
    compress(write_image(tmp_path / "a.dcm", image(12, False)), RLELossless)
    monkeypatch.setitem(dicom_pixels.PLUGINS, RLELossless, "missing")
    with pytest.raises(UnimriError, match=r"a\.dcm: needs a decoder.*pip install"):
        open_image(tmp_path / "a.dcm")
