"""A model as one file: the same bytes for the same content, and nothing but a whole model comes out."""

import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import unimri
from unimri.core.errors import UnimriError
from unimri.deploy import library
from unimri.deploy.library import digests, opened, pack, unpack


@pytest.fixture(scope="module")
def packed(shared_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "tiny.unimri"
    pack(shared_model, path)
    return path


def test_equal_content_is_equal_bytes(packed: Path, shared_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    # Other times and another order of files in the folder.
    copy.mkdir()
    for path in sorted(shared_model.rglob("*"), reverse=True):
        if path.is_file():
            target = copy / path.relative_to(shared_model)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    (copy / ".snakemake_timestamp").touch()
    pack(copy, tmp_path / "again.unimri")
    assert (tmp_path / "again.unimri").read_bytes() == packed.read_bytes()
    assert str(shared_model).encode() not in packed.read_bytes()


def test_what_comes_out_went_in(packed: Path, shared_model: Path, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(shared_model)
    with zipfile.ZipFile(packed) as content:
        assert content.testzip() is None

    one, folder = unimri.load(packed), unimri.load(str(shared_model))
    assert one.description == folder.description
    kspace, mask = folder.undersample(np.random.default_rng(0).random((2, 32, 32), dtype=np.float32))
    for anatomy in folder.anatomies:
        np.testing.assert_array_equal(one.reconstruct(kspace, mask, anatomy), folder.reconstruct(kspace, mask, anatomy))


def test_an_opened_file_leaves_nothing_behind(packed: Path, shared_model: Path) -> None:
    with opened(packed) as folder:
        assert digests(folder) == digests(shared_model)
    assert not folder.parent.exists()
    with opened(shared_model) as folder:
        assert folder == shared_model
    assert shared_model.is_dir()


def rezip(packed: Path, path: Path, **more: bytes) -> Path:
    """The packed model with further entries: names that keywords cannot have, by `__` for `/` and `dot` for `.`."""
    shutil.copyfile(packed, path)
    with zipfile.ZipFile(path, "a") as content:
        for name, data in more.items():
            content.writestr(name.replace("__", "/").replace("dot", "."), data)
    return path


@pytest.mark.parametrize("name", ["dotdot__evil", "__evil", "aspin__dotdot__dotdot__evil", "folder__"])
def test_entries_that_lead_out_are_refused(packed: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "in" / "deep"
    place.mkdir(parents=True)
    path = rezip(packed, tmp_path / "x.unimri", **{name: b"evil"})
    with pytest.raises(UnimriError, match=r"x\.unimri: holds '.*', which no model does"):
        unpack(path, place / "out")
    assert [found.name for found in tmp_path.rglob("*")] in (["in", "x.unimri", "deep"], ["x.unimri", "in", "deep"])


def test_a_link_becomes_no_link(packed: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("aspin/link.safetensors")
    link.external_attr = 0o120777 << 16
    shutil.copyfile(packed, tmp_path / "x.unimri")
    with zipfile.ZipFile(tmp_path / "x.unimri", "a") as content:
        content.writestr(link, "/etc/passwd")
    with pytest.raises(UnimriError, match=r"link\.safetensors: does not belong to the model"):
        unpack(tmp_path / "x.unimri", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_not_unpacked(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LARGEST", 2**20)
    bomb = tmp_path / "bomb.unimri"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("a", bytes(2**19))
        content.writestr("b", bytes(2**19 + 1))
    assert bomb.stat().st_size < 2**12
    monkeypatch.setattr(shutil, "copyfileobj", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(UnimriError, match="holds more than 1 MB"):
        unpack(bomb, tmp_path / "out")


def test_faults_name_the_file_that_was_given(packed: Path, tmp_path: Path) -> None:
    stranger = rezip(packed, tmp_path / "more.unimri", more=b"1")
    with pytest.raises(UnimriError, match=r"^\S*/more\.unimri/more: does not belong") as fault:
        unimri.load(stranger)
    assert "partial" not in str(fault.value)
    other = tmp_path / "other.unimri"
    with zipfile.ZipFile(other, "w") as content:
        content.writestr("a.txt", "a")
    with pytest.raises(UnimriError, match=r"^\S*/other\.unimri: is no model"):
        unimri.load(other)
    with pytest.raises(UnimriError, match=r"missing\.unimri: cannot be read as a model"):
        unpack(tmp_path / "missing.unimri", tmp_path / "out")
    for content in (b"", b"no archive", packed.read_bytes()[:-40], packed.read_bytes()[100:]):
        (tmp_path / "torn.unimri").write_bytes(content)
        with pytest.raises(UnimriError, match=r"torn\.unimri: cannot be read as a model .*; copy it again"):
            unimri.load(tmp_path / "torn.unimri")
    assert not (tmp_path / "out").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damage_is_told_or_harmless(
    packed: Path, shared_model: Path, tmp_path_factory: pytest.TempPathFactory, method: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path, out = folder / "x.unimri", folder / "out"
    with zipfile.ZipFile(packed) as before, zipfile.ZipFile(path, "w", method) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    content = bytearray(path.read_bytes())
    # Headers are few, and worth as many tries as the data.
    place = st.integers(0, len(content) - 1) | st.integers(len(content) - 400, len(content) - 1) | st.integers(0, 60)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(place)] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | place)])
    with suppress(UnimriError):
        unpack(path, out)
    assert not out.exists() or digests(out) == digests(shared_model)


def test_only_a_model_as_it_was_made_is_packed(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnimriError, match=r"must end in \.unimri"):
        pack(model_folder, tmp_path / "tiny.zip")
    for damage, message in damages():
        folder = Path(shutil.copytree(model_folder, tmp_path / "damaged"))
        damage(folder)
        with pytest.raises(UnimriError, match=message):
            pack(folder, tmp_path / "tiny.unimri")
        shutil.rmtree(folder)
    assert not list(tmp_path.glob("*.unimri"))


def damages() -> list[tuple[Callable[[Path], object], str]]:
    return [
        (lambda folder: (folder / "description.json").unlink(), "is no model"),
        (lambda folder: (folder / "aspin/knee.safetensors").write_bytes(b"0"), "is not the file that was made"),
        (lambda folder: (folder / "more").write_bytes(b"0"), "does not belong"),
    ]
