"""What a package from outside adds works in every stage, is in the provenance, and is refused where it must be."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from installed import EXAMPLE, ROOT, install, run

from unimri.core import plugins
from unimri.core.errors import UnimriError
from unimri.core.plugins import MASK_GROUP, load_plugins
from unimri.core.provenance import code_digest
from unimri.models.folder import load_model
from unimri.models.settings import ConsistencySettings
from unimri.physics.mask import Mask

PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
PACKAGE = f"{PROJECT['name']} {PROJECT['version']}"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Path with the example package, as its own pyproject.toml declares it."""
    folder = tmp_path_factory.mktemp("site-packages")
    return EXAMPLE, install(folder, PROJECT["name"], PROJECT["version"], PROJECT["entry-points"])


@pytest.fixture(scope="module")
def used(example: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of a run of `uses.py`, and what it printed."""
    folder = tmp_path_factory.mktemp("used")
    done = run([str(Path(__file__).with_name("uses.py")), str(folder)], *example)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_reader_finds_and_reads(used: tuple[Path, str]) -> None:
    folder, printed = used
    assert "4 patients, 4 volumes, 8 slices; 0 left out" in printed
    manifest = pd.read_csv(folder / "data/block/manifest.csv")
    assert (manifest["rows"] == 20).all()
    assert (manifest["columns"] == 24).all()


def test_a_phantom_is_simulated(used: tuple[Path, str]) -> None:
    assert len(list((used[0] / "raw/ball").rglob("ball_*.nii.gz"))) > 4
    assert len(pd.read_csv(used[0] / "data/ball/manifest.csv")) == 4


def test_a_mask_is_drawn(used: tuple[Path, str]) -> None:
    with np.load(used[0] / "mask.npz", allow_pickle=False) as content:
        assert np.flatnonzero(content["masks"][0]).tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize("model", ["ball", "pretrained", "distilled"])
def test_a_backbone_trains_and_says_what_it_is_from(used: tuple[Path, str], model: str) -> None:
    about = json.loads((used[0] / model / "model.json").read_text())
    own = {"name": "small-unet", "cascades": 2, "width": 3, "plugin": PACKAGE}
    assert about["network"] == own | {"consistency": ConsistencySettings().model_dump()}
    assert about["task"]["network"] == about["network"]


def test_an_anatomy_is_added_to_a_backbone_and_scored(used: tuple[Path, str]) -> None:
    about = json.loads((used[0] / "pretrained/aspin/block.json").read_text())
    assert about["parameters"] == 2 * 2 * 3 * 3  # gamma and beta, cascades, layers, width
    scores = pd.read_csv(used[0] / "scores.csv")
    assert np.isfinite(scores["psnr_db"]).all()


def test_a_model_is_refused_where_its_backbone_is_missing(used: tuple[Path, str]) -> None:
    with pytest.raises(UnimriError, match=rf"'small-unet' is from the package {PACKAGE}, which is not installed"):
        load_model(used[0] / "pretrained")


def test_a_model_loads_with_another_version_of_its_package(used: tuple[Path, str], tmp_path: Path) -> None:
    newer = install(tmp_path, PROJECT["name"], "0.2.0", PROJECT["entry-points"])
    done = run([str(Path(__file__).with_name("loads.py")), str(used[0] / "pretrained")], EXAMPLE, newer)
    assert done.stdout == "['ball', 'block']\n", done.stderr


@pytest.fixture(scope="module")
def plan(example: tuple[Path, Path]) -> dict[str, str]:
    return planned(*example)


def planned(*path: Path) -> dict[str, str]:
    """What the rules of an experiment with the example's kinds are given, with these folders on Python's path."""
    done = run([str(Path(__file__).with_name("plans.py")), str(ROOT)], *path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_another_version_makes_again_what_it_has_to_and_nothing_else(plan: dict[str, str], tmp_path: Path) -> None:
    newer = install(tmp_path, PROJECT["name"], "0.2.0", PROJECT["entry-points"])
    before, after = plan, planned(EXAMPLE, newer)
    changed = {name for name, text in before.items() if after[name] != text}
    assert changed == {"simulation of ball", "index of block", "mask", "training"}
    assert all(PACKAGE in before[name] for name in changed)
    # Code of the package itself: the same with plugins and without.
    assert before["code"] == code_digest("unimri.training.run")


def test_the_settings_of_what_is_built_in_say_nothing_of_packages(plan: dict[str, str]) -> None:
    assert "plugin" not in plan["simulation of brain"] + plan["index of brain"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on Python's path, with a module of masks, whose installed packages are found."""
    (tmp_path / "own_masks.py").write_text(
        "from typing import Literal\nfrom unimri.physics.mask import Mask\nNUMBER = 1\n"
        "class Other(Mask):\n    kind: Literal['other'] = 'other'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins._installed.cache_clear()
    yield tmp_path
    plugins._installed.cache_clear()


@pytest.mark.parametrize(
    ("point", "value", "fault"),
    [
        ("other", "own_masks:Missing", r"cannot be loaded \(AttributeError: .*Missing.*\); correct that package, or"),
        ("other", "no_such_module:Other", r"cannot be loaded \(ModuleNotFoundError: .*pip uninstall masks-of-mine"),
        ("other", "own_masks:NUMBER", r"is no subclass of unimri\.physics\.mask\.Mask"),
        ("another", "own_masks:Other", r"its `kind` is not Literal\['another'\]"),
        ("gaussian1d", "own_masks:Other", "one of that name is built in; give it another name"),
    ],
)
def test_a_package_that_does_not_fit_is_named(site: Path, point: str, value: str, fault: str) -> None:
    install(site, "masks-of-mine", "1.5", {MASK_GROUP: {point: value}})
    whose = re.escape(f"masks-of-mine 1.5: its entry point {point} = {value} in unimri.masks")
    with pytest.raises(UnimriError, match=f"^{whose}: .*{fault}"):
        load_plugins(MASK_GROUP, Mask, ["gaussian1d"], "kind")


def test_two_packages_cannot_have_one_name(site: Path) -> None:
    for package in ("first", "second"):
        install(site, package, "1.0", {MASK_GROUP: {"other": "own_masks:Other"}})
    with pytest.raises(UnimriError, match=r"second 1\.0: .*one of that name is of first 1\.0"):
        load_plugins(MASK_GROUP, Mask, [], "kind")


def test_settings_of_another_version_are_refused(site: Path) -> None:
    install(site, "masks-of-mine", "1.5", {MASK_GROUP: {"other": "own_masks:Other"}})
    kind = load_plugins(MASK_GROUP, Mask, [], "kind")["other"]
    assert kind(**kind(seed=3).model_dump()) == kind(seed=3)
    with pytest.raises(ValueError, match=r"made with masks-of-mine 1\.4, and here is masks-of-mine 1\.5; install that"):
        kind(plugin="masks-of-mine 1.4")


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    install(tmp_path, "masks-of-mine", "1.5", {MASK_GROUP: {"other": "no_such_module:Other"}})
    draw = ["-m", "unimri.cli", "masks", "draw", "4", "--settings", "{}", "--output", str(tmp_path / "mask.npz")]
    done = run(draw, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("unimri: masks-of-mine 1.5: its entry point other = no_such_module:Other")
    assert done.stderr.count("\n") == 1


def test_the_page_quotes_the_example() -> None:
    page = (ROOT / "docs/how-to/extending.md").read_text()
    quoted = re.findall(r'^```\w+ title="(.*?)"\n(.*?)^```$', page, flags=re.MULTILINE | re.DOTALL)
    assert len(quoted) == page.count("```") // 2
    assert [name for name, block in quoted if block not in (ROOT / name).read_text()] == []
    # Each kind is shown whole.
    whole = {Path(name).name for name, block in quoted if block == (ROOT / name).read_text()}
    assert {"reader.py", "mask.py", "backbone.py", "unet.py", "phantom.py", "overlay.yaml"} <= whole
