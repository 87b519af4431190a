"""Models that nobody names a path of: on this machine alone, and said where."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import unimri
from unimri.core.errors import UnimriError
from unimri.deploy import library
from unimri.deploy.card import write_texts
from unimri.deploy.library import ModelDescription, find_model, list_models, search_path

Place = Callable[..., Path]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the models of this machine and without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "__file__", str(tmp_path / "site-packages/unimri/deploy/library.py"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "own"))
    monkeypatch.delenv("UNIMRI_MODELS", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    return tmp_path


@pytest.fixture
def place(shared_model: Path) -> Place:
    """Put a model of a name and an acceleration into a folder."""

    def put(folder: Path, name: str, acceleration: float = 4) -> Path:
        target = Path(shutil.copytree(shared_model, folder / name))
        own = ModelDescription.load(target)
        write_texts(target, own.model_copy(update={"name": name, "acceleration": acceleration}))
        return target

    return put


def test_folders_are_looked_into_in_order(nowhere: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = place(Path("results/models"), "4x")
    assert find_model() == trained
    own = place(nowhere / "own/unimri/models", "mine")
    assert find_model() == own
    named = [place(nowhere / "b", "late"), place(nowhere / "a", "early")]
    monkeypatch.setenv("UNIMRI_MODELS", f"{nowhere / 'b'}::{nowhere / 'a'}:{nowhere / 'missing'}")
    assert list_models() == [*named, own, trained]
    assert unimri.load().description.name == "late"
    assert search_path()[:3] == [nowhere / "b", nowhere / "a", nowhere / "missing"]


def test_a_checkout_is_looked_into_from_anywhere(
    nowhere: Path, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(library, "__file__", str(nowhere / "unimri/deploy/library.py"))
    (nowhere / "Snakefile").touch()
    trained = place(nowhere / "results/models", "4x")
    # By the relative path, once.
    assert list_models() == [Path("results/models/4x")]
    assert search_path() == [nowhere / "own/unimri/models", Path("results/models")]
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert list_models() == [trained]
    (nowhere / "Snakefile").unlink()
    assert list_models() == []


def test_a_model_that_two_folders_lead_to_is_one(nowhere: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place(nowhere / "a", "4x")
    (nowhere / "link").symlink_to(nowhere / "a")
    monkeypatch.setenv("UNIMRI_MODELS", f"a:{nowhere / 'a'}:link:a/../a")
    assert list_models() == [Path("a/4x")]


def test_by_name_by_path_and_by_acceleration(nowhere: Path, place: Place) -> None:
    models = Path("results/models")
    four, six, eight = (place(models, f"{n}x", n) for n in (4, 6, 8))
    assert find_model("6x") == six
    assert find_model(str(eight)) == eight
    renamed = eight.rename(models / "other-folder")
    assert find_model("8x") == renamed
    assert find_model("other-folder") == renamed
    assert find_model(None, 4.9) == four
    assert find_model(None, 5.1) == six
    assert find_model(None, 100) == renamed
    # A name is a name, whatever acceleration is asked for.
    assert find_model("4x", 8) == four
    packed = nowhere / "x.unimri"
    packed.touch()
    assert find_model(packed) == packed


def test_a_damaged_model_does_not_hide_others(place: Place) -> None:
    damaged = place(Path("results/models"), "a")
    (damaged / "description.json").write_text("{")
    whole = place(Path("results/models"), "b").rename("results/models/c")
    assert find_model("b") == whole
    with pytest.raises(UnimriError, match="copy the model again"):
        unimri.load("a")


def test_what_is_no_model_is_passed_over(place: Path, nowhere: Path) -> None:
    models = Path("results/models")
    (models / "empty").mkdir(parents=True)
    place(models, ".partial-1-4x")
    (models / "4x.log").touch()
    assert list_models() == []


def test_no_model_says_where_was_looked(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIMRI_MODELS", "/srv/models")
    looked = f"looked in /srv/models, {nowhere / 'own/unimri/models'}, results/models: "
    with pytest.raises(UnimriError) as fault:
        unimri.load()
    assert str(fault.value).startswith(f"no model is there; {looked}")
    assert "make reproduce" in str(fault.value)
    with pytest.raises(UnimriError) as fault:
        find_model("5x", 5)
    assert str(fault.value).startswith(f"5x: no such model; {looked}")


def test_a_path_to_something_else_is_refused(nowhere: Path) -> None:
    (nowhere / "folder").mkdir()
    with pytest.raises(UnimriError, match=r"folder: is no model \(it has no description.json\)"):
        find_model(nowhere / "folder")
    (nowhere / "model.pt").touch()
    with pytest.raises(UnimriError, match=r"model\.pt: is no model; give its folder, or its one file"):
        find_model(nowhere / "model.pt")
