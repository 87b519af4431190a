"""A model of a finished experiment: from its artifacts alone, and always the same bytes."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import nibabel
import numpy as np
import pandas as pd
import pytest
from stores import make_store, smooth

import unimri
from unimri.cli.__main__ import main
from unimri.core.errors import UnimriError
from unimri.data.index import IndexTask, index_scans
from unimri.data.layouts import parse_reader
from unimri.data.store import PreparedData
from unimri.deploy.build import Scans, build_model
from unimri.deploy.card import origin_of
from unimri.deploy.estimates import scale_factor
from unimri.deploy.library import AnatomyTask, ModelDescription, ModelTask, digests, pack
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import AS_TRAINED, write_scores
from unimri.physics.acquisition import acquisition
from unimri.physics.masks import Gaussian1D, draw_masks, load_masks, save_masks

MASK = Gaussian1D(sigma=0.09, seed=3)
PATIENTS = {"p1": "train", "p2": "train", "p3": "validation", "p4": "validation", "p5": "test", "p6": "test"}
Origin = Literal["simulated", "real"]


class Parts(NamedTuple):
    model: Path
    mask: Path
    data: dict[str, Path]
    scans: dict[str, Scans]
    scores: Path
    seed: int = 7


def score(
    anatomy: str, method: str, patient: str, number: int, psnr: float, condition: str = AS_TRAINED, seed: int = 7
) -> tuple[Any, ...]:
    own = (0.01, psnr, psnr, float("nan"))
    where = (condition, "fixed", 4.0, seed, method, anatomy, patient, f"{patient}-a", number)
    return (*where, psnr, 2 * psnr, *own)


def write_scans(folder: Path, slices: int) -> Scans:
    """A NIfTI file of each patient, of 48 x 40 pixels; those of patients to train on are damaged by now."""
    folder.mkdir(parents=True)
    for number, patient in enumerate(PATIENTS):
        volume = 500 * smooth(slices, 48, 40, seed=number)
        nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4)), folder / f"{patient}.nii")
        if PATIENTS[patient] != "test":
            os.truncate(folder / f"{patient}.nii", 352)
    return Scans(folder=folder, index=IndexTask(reader=parse_reader("nifti")), seed=3)


def keys(anatomy: str, scans: Scans) -> dict[str, str]:
    """The key of each patient's volume."""
    (index,) = index_scans(anatomy, scans.folder, scans.index, scans.seed)
    return {Path(entry.sources[0]).stem: entry.volume for entry in index.entries}


@pytest.fixture(scope="module")
def parts(shared_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("experiment")
    save_masks(draw_masks(MASK, 32, 4), folder / "4x.npz")
    data, scans = {}, {}
    for anatomy, count in (("brain", 2), ("knee", 3)):
        scans[anatomy] = write_scans(folder / f"raw/{anatomy}", count)
        own = keys(anatomy, scans[anatomy])
        volumes = {own[patient]: (patient, split, count) for patient, split in PATIENTS.items()}
        data[anatomy] = make_store(folder / anatomy, anatomy, volumes)
        rows = [
            score(anatomy, method, patient, k, psnr + count + k)
            for method, psnr in (("proposed", 33.0), ("undersampled", 25.0))
            for patient in ("p5", "p6")
            for k in (0, 1)
        ]
        # Of another method, seed and condition.
        rows += [score(anatomy, "shared", "p5", 0, 1), score(anatomy, "proposed", "p5", 0, 2, seed=8)]
        rows += [score(anatomy, "proposed", "p5", 0, 3, "8x")]
        write_scores(folder / f"scores/{anatomy}.csv", rows, MetricSettings())
    return Parts(shared_model, folder / "4x.npz", data, scans, folder / "scores")


def task(brain: Origin = "simulated", knee: Origin = "simulated", **changes: Any) -> ModelTask:
    anatomies = {
        "brain": AnatomyTask(origin=brain, role="base", crop=40),
        "knee": AnatomyTask(origin=knee, role="new", crop=None),
    }
    settings = {"training": {"seeds": [7]}}
    own = {"name": "unimri-4x", "acceleration": 4, "mask": MASK, "smoothing": 1.0, "metrics": MetricSettings()}
    return ModelTask(**{**own, "settings": settings, "anatomies": anatomies, **changes})


def test_it_holds_the_network_and_what_the_artifacts_say(parts: Parts, tmp_path: Path) -> None:
    build_model(task(), *parts, tmp_path / "4x")
    model = unimri.load(tmp_path / "4x")
    own = model.description
    assert (own.name, own.acceleration, own.image_size, own.mask) == ("unimri-4x", 4, 32, MASK)
    assert own.settings == {"training": {"seeds": [7]}}
    assert model.anatomies == ["brain", "knee"]
    for name, count in (("brain", 2), ("knee", 3)):
        anatomy = own.anatomies[name]
        assert anatomy.training_patients == 2
        assert anatomy.scale_factor == scale_factor(PreparedData(parts.data[name]), load_masks(parts.mask))
        assert anatomy.largest_distance > 0
        quality = anatomy.quality
        assert quality is not None
        assert (quality.slices, quality.patients) == (4, 2)
        assert quality.psnr_db == pytest.approx(33.5 + count)
        assert quality.ssim_percent == pytest.approx(67 + 2 * count)
        assert quality.zero_filled_psnr_db == pytest.approx(25.5 + count)
    assert (own.anatomies["brain"].role, own.anatomies["knee"].role) == ("base", "new")

    before = unimri.load(parts.model)
    kspace, mask = before.undersample(np.random.default_rng(0).random((1, 32, 32), dtype=np.float32))
    found = {name: model.reconstruct(kspace, mask, name) for name in model.anatomies}
    assert np.abs(found["brain"] - found["knee"]).max() > 1e-3
    for name in ("model.safetensors", "aspin/brain.safetensors", "aspin/knee.safetensors"):
        assert digests(tmp_path / "4x")[name] == digests(parts.model)[name]


def test_the_choice_is_tried_on_files_of_their_own_size(parts: Parts, tmp_path: Path) -> None:
    build_model(task(), *parts, tmp_path / "4x")
    rows = pd.read_csv(tmp_path / "4x/choice.csv")
    assert rows[["anatomy", "volume", "slices", "rows", "columns"]].values.tolist() == [
        [anatomy, number, slices, 40, 48] for anatomy, slices in (("brain", 2), ("knee", 3)) for number in (1, 2)
    ]
    assert (rows.loc[rows["chosen"] == rows["anatomy"], "loss_db"] == 0).all()
    found = unimri.load(tmp_path / "4x").description.choice
    assert found is not None
    right = (rows["chosen"] == rows["anatomy"]) & ~rows["unlike"]
    assert (found.volumes, found.right, found.refused) == (4, right.sum(), rows["unlike"].sum())
    # The command chooses the same.
    model = unimri.load(tmp_path / "4x")
    for row in rows.itertuples():
        own = keys(row.anatomy, parts.scans[row.anatomy])
        patient = sorted((patient for patient in own if PATIENTS[patient] == "test"), key=own.__getitem__)[
            row.volume - 1
        ]
        scan = parts.scans[row.anatomy].folder / f"{patient}.nii"
        volume = unimri.load_kspace(scan).images
        kspace, mask = model.undersample(volume)
        found_again = model.reconstruct_volume(
            acquisition(kspace, mask, None, "columns"), "auto", fallback="knee"
        ).choice
        assert found_again is not None
        assert (found_again.anatomy, bool(found_again.unlike)) == (row.chosen, row.unlike)


def test_the_same_again_is_the_same_bytes(parts: Parts, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        build_model(task(), *parts, tmp_path / folder / "4x")
        pack(tmp_path / folder / "4x", tmp_path / f"{folder}.unimri")
    content = (tmp_path / "a.unimri").read_bytes()
    assert content == (tmp_path / "b.unimri").read_bytes()
    # Not where it was made.
    for private in (str(tmp_path), str(parts.model), str(parts.scores.parent), str(Path.cwd())):
        assert private.encode() not in content


@pytest.mark.parametrize(
    ("brain", "knee", "says", "origin"),
    [
        ("simulated", "simulated", "**All data are simulated**", "simulated scans"),
        ("real", "real", "All data are real scans.", "real scans"),
        ("real", "simulated", "**Simulated data**: knee. The others are real scans.", "real and simulated scans"),
    ],
)
def test_the_card_says_what_the_data_are(
    parts: Parts, tmp_path: Path, brain: Origin, knee: Origin, says: str, origin: str
) -> None:
    build_model(task(brain, knee), *parts, tmp_path / "4x")
    card = (tmp_path / "4x/README.md").read_text()
    assert says in card
    assert ("from simulations alone" in card) == ("simulated" in (brain, knee))
    assert origin_of(ModelDescription.load(tmp_path / "4x")) == origin
    assert "4 of 2 patients" in card
    assert "27.50 → 35.50" in card
    assert "4x" in card


def test_an_old_model_is_replaced_as_a_whole(parts: Parts, tmp_path: Path) -> None:
    output = tmp_path / "4x"
    (output / "aspin").mkdir(parents=True)
    (output / "aspin/hip.safetensors").touch()
    build_model(task(), *parts, output)
    assert unimri.load(output).anatomies == ["brain", "knee"]
    only = {"brain": AnatomyTask(origin="real", role="base", crop=None)}
    build_model(task(anatomies=only), *parts, output)
    assert unimri.load(output).anatomies == ["brain"]


def lacking(parts: Parts, folder: Path, name: str) -> Path:
    copy = Path(shutil.copytree(parts.scores, folder / "scores"))
    (copy / name).unlink()
    return copy


def test_a_fault_leaves_the_old_model(parts: Parts, tmp_path: Path) -> None:
    output = tmp_path / "4x"
    build_model(task(), *parts, output)
    before = digests(output)
    hip = {"hip": AnatomyTask(origin="real", role="new", crop=None)}
    save_masks(draw_masks(MASK, 16, 4), tmp_path / "16.npz")
    lost = parts.scans["knee"].model_copy(update={"folder": tmp_path / "lost"})
    shutil.copytree(parts.scans["knee"].folder, lost.folder)
    (lost.folder / "p6.nii").unlink()
    faults: list[tuple[ModelTask, Parts, str]] = [
        (task(), parts._replace(scores=lacking(parts, tmp_path, "knee.csv")), r"scores/knee\.csv"),
        (task(), parts._replace(seed=9), r"scores/brain\.csv: holds no scores of the model of seed 9 .*; score again"),
        (
            task(),
            parts._replace(data={"brain": parts.data["brain"]}),
            "no prepared data, or no scans, of knee; give both",
        ),
        (task(), parts._replace(scans={"brain": parts.scans["brain"]}), "no scans, of knee"),
        (
            task(),
            parts._replace(scans=parts.scans | {"knee": lost}),
            "lost: 1 of 2 test volumes are gone; prepare knee again",
        ),
        (task(), parts._replace(mask=tmp_path / "16.npz"), "the mask is for 16 pixels"),
        (task(), parts._replace(mask=tmp_path / "missing.npz"), r"missing\.npz"),
        (task(), parts._replace(model=tmp_path / "missing"), r"missing/model\.json"),
        (task(anatomies=task().anatomies | hip), parts, r"hip\.safetensors"),
    ]
    for wanted, given, message in faults:
        with pytest.raises(UnimriError, match=message):
            build_model(wanted, *given, output)
    assert digests(output) == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_command_of_the_workflow(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_model(task(), *parts, tmp_path / "a/4x")
    scans = json.dumps({name: own.model_dump(mode="json") for name, own in parts.scans.items()})
    pairs = [word for name, folder in parts.data.items() for word in ("--data", f"{name}={folder}")]
    text = json.dumps(task().model_dump(mode="json"))
    options = ["--task", text, "--scores", str(parts.scores), "--seed", "7", "--scans", scans, *pairs]
    options += ["--output", str(tmp_path / "b/4x")]
    monkeypatch.setattr(sys, "argv", ["unimri", "models", "build", str(parts.model), str(parts.mask), *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert digests(tmp_path / "b/4x") == digests(tmp_path / "a/4x")
