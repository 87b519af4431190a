"""The studies beside Table 1: what they score, and the tables of it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from unimri.core.artifacts import write_json
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.data.layouts import NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.store import PreparedData
from unimri.evaluation.figures import draw_study
from unimri.evaluation.reconstruct import load_reconstructor, reconstruct_test_split
from unimri.evaluation.reconstructions import OtherMasks, Reconstruction, write_list
from unimri.evaluation.scores import after_learning, score, with_aspin_of
from unimri.evaluation.statistics import StatisticsSettings
from unimri.evaluation.study_tables import write_study_tables
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import AS_TRAINED, read_scores, write_scores
from unimri.models.cascade import D5C5
from unimri.models.folder import aspin_path, save_aspin, save_base
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import Gaussian1D, draw_masks, load_masks, save_masks
from unimri.physics.retrospective import reconstruct_slices, zero_filling

SIZE = 16
NETWORK = CascadeSettings(width=3, cascades=2, last_convolution="default")
ANATOMIES = ["head", "hand", "hip"]


def save(network: D5C5, folder: Path) -> Path:
    save_base(network, folder)
    for anatomy in network.conditioning.anatomies:
        save_aspin(network.conditioning.of(anatomy), anatomy, folder, aspin_path(folder, anatomy))
    about = {"network": NETWORK.model_dump(), "conditioning": "aspin", "inputs": {"data/head": "", "data/hand": ""}}
    write_json(folder / "model.json", about)
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Prepared anatomies, masks, a universal network with an ASPIN for each, and one that was trained on."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(3)
    for anatomy in ANATOMIES:
        (folder / "raw" / anatomy).mkdir(parents=True)
        for patient in range(4):
            image = nib.Nifti1Image(rng.random((SIZE, SIZE, 3)).astype(np.float32), np.eye(4))
            nib.save(image, folder / "raw" / anatomy / f"{patient}.nii.gz")
        task = PreparationTask(
            reader=NiftiReader(format="nifti", patient="file"),
            fit="resize",
            preparation=PreparationSettings(image_size=SIZE, crop=SIZE),
        )
        prepare(anatomy, folder / "raw" / anatomy, task, folder / anatomy, 0)
    for acceleration in (2, 4):
        save_masks(draw_masks(Gaussian1D(name="gauss"), SIZE, acceleration), folder / f"{acceleration}x.npz")
    torch.manual_seed(0)
    network = D5C5(NETWORK, "aspin", ANATOMIES)
    with torch.no_grad():
        for number, anatomy in enumerate(ANATOMIES):
            network.conditioning.of(anatomy).gamma.mul_(1 + 0.3 * number)
    save(network, folder / "model")
    with torch.no_grad():
        network.blocks[0].convolutions[0].weight.mul_(1.1)
    save(network, folder / "finetuned")
    return folder


def scored(study: Path, anatomy: str, wanted: list[Reconstruction], folder: Path) -> Path:
    """The scores of an anatomy's test split, trained for 4x."""
    reconstruct_test_split(anatomy, study / anatomy, study / "4x.npz", wanted, folder / f"{anatomy}.h5")
    output = folder / f"{anatomy}.csv"
    score(folder / f"{anatomy}.h5", study / anatomy, MetricSettings(), output)
    return output


def proposed(study: Path, condition: str = AS_TRAINED, **further: object) -> Reconstruction:
    return Reconstruction(
        **{"method": "proposed", "seed": 5, "condition": condition, "model": study / "model"} | further
    )


def table_of(study_name: str, files: list[Path], anatomies: list[str], folder: Path, **read: object) -> pd.DataFrame:
    settings = MetricSettings()
    write_study_tables(
        {study_name: anatomies}, read_scores(files), [], ["proposed"], settings, StatisticsSettings(), folder
    )
    return pd.read_csv(folder / f"{study_name}.csv", **read)


def test_s4_forgets_exactly_nothing_and_fine_tuning_does_not(study, tmp_path) -> None:
    wanted = [
        proposed(study),
        proposed(study, after_learning("hip"), added=["hip"], before="proposed"),
        proposed(study, after_learning("hip"), method="finetuned/all", model=study / "finetuned", before="proposed"),
    ]
    files = [scored(study, anatomy, wanted, tmp_path) for anatomy in ("head", "hand")]
    table = table_of("forgetting", files, ANATOMIES, tmp_path, dtype={"largest_pixel_change": str})
    assert list(table["method"]) == ["aspin", "finetuned"] * 2
    assert list(table.loc[table["method"] == "aspin", "largest_pixel_change"]) == ["0", "0"]
    rows = table.set_index(["method", "anatomy"])
    for anatomy in ("head", "hand"):
        assert rows.loc[("aspin", anatomy), "before"] == rows.loc[("aspin", anatomy), "after"]
        assert float(rows.loc[("finetuned", anatomy), "largest_pixel_change"]) > 0
        assert rows.loc[("finetuned", anatomy), "before"] != rows.loc[("finetuned", anatomy), "after"]
        # From the images: of no slice more, and of one as much.
        slices = PreparedData(study / anatomy).split("test")
        numbers = np.arange(len(slices))
        first, second = (
            reconstruct_slices(
                load_reconstructor(study / name, anatomy), slices.batch(numbers), numbers, load_masks(study / "4x.npz")
            )
            for name in ("model", "finetuned")
        )
        largest = float(rows.loc[("finetuned", anatomy), "largest_pixel_change"])
        assert largest == pytest.approx(np.abs(first - second).max(), rel=1e-5)


def test_each_anatomy_does_as_table_1_with_its_own_aspin_and_otherwise_with_another(study, tmp_path) -> None:
    files = []
    for anatomy in ANATOMIES:
        others = [
            proposed(study, with_aspin_of(name), aspin=aspin_path(study / "model", name))
            for name in ANATOMIES
            if name != anatomy
        ]
        files.append(scored(study, anatomy, [proposed(study), *others], tmp_path))
    table = table_of("aspin_matrix", files, ANATOMIES, tmp_path).set_index(["metric", "anatomy", "aspin"])
    assert len(table) == 2 * 3 * 3
    assert table.loc[("psnr_db", "hip", "hip"), "difference"] == 0
    slices = PreparedData(study / "hip").split("test")
    numbers = np.arange(len(slices))
    for aspin in ("hip", "head"):
        # The ASPIN of another anatomy, put in the place of its own.
        own = load_reconstructor(study / "model", aspin)
        truth = slices.batch(numbers)
        images = reconstruct_slices(own, truth, numbers, load_masks(study / "4x.npz"))
        errors = ((images - truth) ** 2).mean(axis=(1, 2))
        expected = np.mean(-10 * np.log10(errors))
        assert table.loc[("psnr_db", "hip", aspin), "value"] == pytest.approx(expected, abs=1e-4)
    draw_study(tmp_path / "aspin_matrix.csv", 4, "t", tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_conditions_are_scored_apart_and_on_the_same_slices(study, tmp_path) -> None:
    conditions = {
        "2x": {"mask": OtherMasks(acceleration=2, mask=Gaussian1D(name="gauss"))},
        "noise 0.5": {"noise": 0.5},
    }
    models = {"undersampled": None, "proposed": study / "model"}
    wanted = [proposed(study, method=method, model=model) for method, model in models.items()]
    wanted += [
        proposed(study, name, method=method, model=model, slices=2, **condition)
        for method, model in models.items()
        for name, condition in conditions.items()
    ]
    assert parse_settings(list[Reconstruction], write_list(wanted), "a test") == wanted
    output = scored(study, "hip", wanted, tmp_path)
    rows = read_scores([output])
    count = len(PreparedData(study / "hip").split("test"))
    assert count > 2
    assert rows.groupby(["method", "condition"], sort=False).size().tolist() == [count] * 2 + [2] * 4
    table = table_of("robustness", [output], ["hip"], tmp_path)
    names = [AS_TRAINED, *conditions]
    assert list(zip(table["method"], table["condition"], strict=True)) == [
        (method, name) for _ in ("psnr_db", "ssim_percent") for method in models for name in names
    ]
    assert table["average"].equals(table["hip"])
    psnr = table[table["metric"] == "psnr_db"].set_index(["method", "condition"])["hip"]
    zero_filled = psnr["undersampled"]
    assert zero_filled["2x"] > zero_filled[AS_TRAINED] > zero_filled["noise 0.5"]
    own = rows[(rows["method"] == "proposed") & (rows["condition"] == AS_TRAINED)]["psnr_db"]
    assert psnr[("proposed", AS_TRAINED)] == pytest.approx(own.iloc[[0, -1]].mean(), abs=1e-6)


def test_noise_has_its_deviation_is_the_same_for_every_method_and_only_on_sampled_lines(study) -> None:
    slices = PreparedData(study / "hip").split("test")
    masks = load_masks(study / "2x.npz")
    seen = []

    def recorder(given):
        seen.append((given.kspace, given.sampled))
        return given.zero_filled

    numbers = np.arange(len(slices))
    for noise, part in ((0.0, numbers), (0.25, numbers), (0.25, numbers[1:])):
        reconstruct_slices(recorder, slices.batch(part), part, masks, noise)
    drawn = seen[1][0] - seen[0][0]
    assert not drawn[~seen[1][1].expand_as(drawn)].any()
    kept = torch.view_as_real(drawn[seen[1][1].expand_as(drawn)])
    assert kept.std().item() == pytest.approx(0.25, rel=0.1)
    assert torch.equal(seen[2][0], seen[1][0][1:])


def test_an_aspin_that_lies_apart_is_that_of_the_model(study, tmp_path) -> None:
    slices, masks = PreparedData(study / "hip").split("test"), load_masks(study / "4x.npz")
    apart = tmp_path / "hip.safetensors"
    apart.write_bytes(aspin_path(study / "model", "hip").read_bytes())
    inside, outside = (load_reconstructor(study / "model", "hip", aspin) for aspin in (None, apart))
    first = np.array([0])
    images = [reconstruct_slices(one, slices.batch(first), first, masks) for one in (inside, outside)]
    np.testing.assert_array_equal(*images)
    with pytest.raises(UnimriError, match="not the ASPIN of 'hip' on the base"):
        load_reconstructor(study / "finetuned", "hip", apart)
    assert load_reconstructor(None, "hip") is zero_filling


def metrics_file(folder: Path, method: str, values: dict[str, float], make_scores, mask: str = "") -> list[Path]:
    paths = []
    for anatomy, value in values.items():
        path = folder / mask / method.replace("/", "-") / f"{anatomy}.csv"
        rows = make_scores({(4, method, anatomy): (value, value + 1)}, slices=2)
        if mask:
            rows = rows.assign(mask=mask)
        write_scores(path, rows.to_dict("records"), MetricSettings())
        paths.append(path)
    return paths


def test_few_patients_stand_before_all_and_table_1s_trainings_are_all(tmp_path, make_scores) -> None:
    files = []
    for method, value in (
        ("proposed", 30),
        ("independent", 29),
        ("aspin/2", 25),
        ("aspin/10", 27),
        ("finetuned/all", 31),
    ):
        files += metrics_file(tmp_path, method, {"hip": value, "hand": value + 2}, make_scores)
    table = table_of("adaptation", files, ["hip", "hand"], tmp_path, dtype={"patients": str})
    psnr = table[table["metric"] == "psnr_db"]
    assert psnr[["method", "patients", "hip", "average"]].to_numpy().tolist() == [
        ["aspin", "2", 25, 26],
        ["aspin", "10", 27, 28],
        ["aspin", "all", 30, 31],
        ["finetuned", "all", 31, 32],
        ["scratch", "all", 29, 30],
    ]
    draw_study(tmp_path / "adaptation.csv", 4, "few", tmp_path / "few.png")
    with pytest.raises(UnimriError, match="no rows at 6x"):
        draw_study(tmp_path / "adaptation.csv", 6, "few", tmp_path / "none.png")


def test_the_study_of_masks_has_table_1_with_every_mask(tmp_path, make_scores) -> None:
    own = metrics_file(tmp_path, "shared", {"hip": 30}, make_scores, "gauss")
    own += metrics_file(tmp_path, "layer1", {"hip": 20}, make_scores, "gauss")
    other = metrics_file(tmp_path, "shared", {"hip": 25}, make_scores, "schlemper")
    write_study_tables(
        {"masks": ["hip"]}, read_scores(own), other, ["shared"], MetricSettings(), StatisticsSettings(), tmp_path
    )
    table = pd.read_csv(tmp_path / "masks.csv")
    psnr = table[table["metric"] == "psnr_db"]
    assert psnr[["mask", "method", "hip"]].to_numpy().tolist() == [["gauss", "shared", 30], ["schlemper", "shared", 25]]
