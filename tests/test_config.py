from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from unimri.config import load_config, parse_config
from unimri.core.errors import UnimriError

ROOT = Path(__file__).parents[1]
OVERLAYS = sorted((ROOT / "workflow/config").glob("*.yaml"))


@pytest.fixture
def default():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_committed_configuration_is_the_papers_experiment():
    config = load_config(ROOT / "config.yaml")
    assert config.base == ["brain", "knee"]
    assert config.new == ["cardiac", "abdomen", "prostate"]
    assert config.accelerations == [4, 6]
    assert config.distillation.layer == 3
    assert all(anatomy.simulated for anatomy in config.anatomies.values())


def test_the_weight_of_distillation_is_the_papers_unless_it_is_set(default):
    assert load_config(ROOT / "config.yaml", ROOT / "workflow/config/paper.yaml").distillation.omega == 1e-4
    del default["distillation"]
    assert parse_config(default).distillation.model_dump() == {"layer": 3, "omega": 1e-4}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_overlays_are_valid_over_the_default(overlay):
    load_config(ROOT / "config.yaml", overlay)


def test_an_overlay_changes_what_it_names_and_null_takes_out(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("distillation: {omega: 0.5}\nanatomies: {cardiac: null}\n")
    config = load_config(ROOT / "config.yaml", overlay)
    assert config.distillation.omega == 0.5
    assert config.distillation.layer == 3
    assert config.new == ["abdomen", "prostate"]


@pytest.mark.parametrize("kind", ["fastmri-h5", "ismrmrd"])
def test_an_anatomy_may_be_simulated_as_kspace(default, kind):
    default["anatomies"]["prostate"] |= {"reader": {"format": kind}}
    default["anatomies"]["prostate"]["simulation"]["kspace"] = {"format": kind}
    raw = parse_config(default).anatomies["prostate"].simulation.kspace
    assert raw.model_dump() == {"format": kind, "coils": 8, "phase": 1.2}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("distilation", {}, "config: distilation: unknown key"),
        (
            "training.stages.shared.epochs",
            0,
            "config: training.stages.shared.epochs is 0: .*equal to 1",
        ),
        ("acquisition", {"coils": [4]}, "network.consistency.weight: 0; must be above 0 to learn from several coils"),
        ("acquisition", {"patch": 96, "masks": [{"preset": "schlemper"}]}, "acquisition.patch: 96 is more than .*64"),
        (
            "acquisition",
            {"masks": [{"preset": "fastmri-random", "centre_fraction": 0.3}]},
            "acquisition.masks, number 1",
        ),
        ("training.optimisation.precision", "float8", "precision is 'float8': .*'float32' or 'bfloat16'"),
        ("anatomies.brain.reader.format", "jpeg", "config: anatomies.brain.reader: .*'jpeg'.*'acdc', 'bart'"),
        ("anatomies.Brain 2", {}, "config: anatomies.Brain 2"),
        ("anatomies.brain.fit", "squeeze", "anatomies.brain.fit is 'squeeze': .*'crop' or 'resize'"),
        ("anatomies.brain.simulation", None, "config: anatomies.brain: needs a path"),
        (
            "anatomies.brain.simulation.kspace",
            {"format": "ismrmrd"},
            "brain: reader.format is 'fastmri-dicom', and simulation.kspace.format 'ismrmrd'; allowed: the same",
        ),
        ("anatomies.brain.simulation.kspace", {"format": "acdc"}, "format is 'acdc': .*'fastmri-h5' or 'ismrmrd'"),
        ("anatomies.brain.reader", {"format": "ismrmrd"}, "is 'ismrmrd', and images .* set simulation.kspace.format"),
        ("mask.preset", "gauss", "config: mask.*'gauss' is unknown; allowed: paper-like"),
        ("accelerations", [1], "config: accelerations.0 is 1: .*greater than 1"),
        ("seed", "twelve", "config: seed is 'twelve'"),
        ("training", None, "config: training: missing"),
        ("distillation.layer", 6, "distillation.layer: 6 is more than network.convolutions, 5"),
        ("preparation.fractions.train", 0.9, "config: preparation.fractions"),
        (
            "anatomies.average",
            {"role": "new", "path": "/", "reader": {"format": "acdc"}, "fit": "crop"},
            "average: a column of Table 1 or a figure",
        ),
        ("accelerations", [4, 4.0], "names one twice"),
        ("metrics.ssim_window", 65, "ssim_window: 65 pixels is more than preparation.image_size, 64"),
        ("training.processes", 3, "processes: 3 processes cannot share training.optimisation.batch_size, 4, evenly"),
        (
            "training.stages.untrained",
            {"epochs": 1, "learning_rate": 1},
            "config: training.stages.untrained: no method has that budget; allowed: independent, shared, ",
        ),
        ("training.stages.distilled", None, "config: training.stages.distilled: missing; Proposed is trained with it"),
        ("training.stages.continued.epochs", 3, "continued.epochs: 3 is not distilled's 1"),
        ("mask", {"preset": "schlemper", "centre_lines": 40}, "mask.centre_lines"),
        ("mask", {"preset": []}, r"config: mask: preset \[\] is unknown; allowed: paper-like"),
        ("mask", {"kind": "gaussian1d", "floor": 1e308}, "sampling 4x: mask gaussian1d: cannot be drawn"),
        ("mask", {"preset": "schlemper", "bank": 10**9}, "bank is 1000000000: .*less than or equal to"),
        ("accelerations", [float("inf")], "config: accelerations.0 is inf: .*finite"),
        ("accelerations", [1e308], r"config: accelerations.0 is 1e\+308: .*less than or equal to 1000"),
        ("distillation.omega", float("nan"), "config: distillation.omega is nan: .*finite"),
        ("device", "auto", r"config: device: unknown key \(did you mean training.device\?\)"),
        ("traning", {}, r"config: traning: unknown key \(did you mean training\?\)"),
        ("anatomies.brain.fits", "crop", r"brain.fits: unknown key \(did you mean anatomies.brain.fit\?\)"),
        ("mask.sigm", 1, r"unknown key \(did you mean mask.sigma\?\)"),
        ("xyzzy", 1, "config: xyzzy: unknown key; check its spelling"),
        ("results", "res{x}", "config: results is 'res{x}': braces are wildcards of Snakemake; rename it"),
        ("anatomies.brain.path", "with {braces}", "config: anatomies.brain.path is 'with {braces}': braces"),
        ("results", "a\x1bb", r"config: results is 'a\\x1bb': control characters"),
        ("private", "-p", "config: private is '-p': .* a - at the start"),
    ],
)
def test_a_wrong_setting_is_told_by_key_and_value(default, path, value, says):
    *parents, last = path.split(".")
    section = default
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(UnimriError, match=says) as fault:
        parse_config(default)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("value", [[], {}, float("inf"), -1, 10**400, 1e308, "\x1b[31m\n", {1: [2]}])
def test_any_value_anywhere_is_taken_or_told_in_a_line(default, value):
    def places(settings, above=()):
        for key, below in settings.items() if isinstance(settings, dict) else enumerate(settings):
            yield (*above, key)
            yield from places(below, (*above, key)) if isinstance(below, dict | list) else ()

    # One anatomy is as another, and so is one budget.
    for name in ("knee", "cardiac", "abdomen"):
        del default["anatomies"][name]
    for place in list(places(default)):
        if place[:2] == ("training", "stages") and place[2:3] > ("distilled",):
            continue
        changed = deepcopy(default)
        section = changed
        for key in place[:-1]:
            section = section[key]
        section[place[-1]] = value
        # Any other exception fails the test.
        with suppress(UnimriError):
            parse_config(changed)


def test_every_fault_is_told_up_to_a_number(default):
    with pytest.raises(UnimriError, match=r"seed is 'x': .*; config: wrong0: unknown key.*; and \d+ more"):
        parse_config(default | {"seed": "x"} | {f"wrong{number}": 1 for number in range(30)})


def test_home_and_variables_are_filled_in(default, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCANS", "/data")
    default["anatomies"]["brain"] |= {"path": "~/brain", "splits": "$SCANS/splits.csv"}
    config = parse_config(default | {"results": "$HOME/results"})
    brain = config.anatomies["brain"]
    assert (config.results, brain.path) == (Path("/home/me/results"), Path("/home/me/brain"))
    assert brain.splits == Path("/data/splits.csv")


def test_no_base_anatomy_is_told(default):
    for anatomy in default["anatomies"].values():
        anatomy["role"] = "new"
    with pytest.raises(UnimriError, match="none has role 'base'"):
        parse_config(default)


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "seed: [", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_settings_is_told_by_name(tmp_path, content):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnimriError, match=r"mine\.yaml: ") as fault:
        load_config(path)
    assert "\n" not in str(fault.value)


def test_rows_of_one_coil_are_no_rows_of_several(default):
    default["acquisition"] = {"coils": [1, 8]}
    default["network"]["consistency"] = {"weight": 0.05}
    with pytest.raises(UnimriError, match=r"studies.classical: conjugate_filling, .* allowed: cg_sense, wavelet_sense"):
        parse_config(default)
    default["studies"]["classical"] = ["cg_sense"]
    assert parse_config(default).acquisition.coils == [1, 8]
