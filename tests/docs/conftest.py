import json
import shutil
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from blocks import ROOT
from numpy.typing import NDArray

from unimri.core.artifacts import sha256
from unimri.core.settings import parse_settings
from unimri.data.scanner import SimulationSettings
from unimri.data.simulate import simulate
from unimri.deploy.adapters import save_adapter
from unimri.deploy.card import write_texts
from unimri.deploy.library import FEATURES, AnatomyDescription, ModelDescription
from unimri.models.cascade import D5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, load_model, save_aspin, save_base
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import MaskTask, draw_masks, save_masks


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for the user's /data: two folders of DICOM series and one of NIfTI files."""
    folder = tmp_path_factory.mktemp("data")
    settings = {"anatomy": "brain", "patients": 3, "series": 1, "slices": 2, "matrix_sizes": [48]}
    for number, name in enumerate(("brain", "shoulder")):
        simulate(parse_settings(SimulationSettings, settings, "test"), folder / name, number)
    (folder / "hip").mkdir()
    for patient in range(3):
        voxels = np.random.default_rng(patient).random((12, 12, 3), dtype=np.float32)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / "hip" / f"sub-{patient}_t1.nii.gz")
    (folder / "knee").mkdir()
    kspace, kept = undersampled_noise(48, 32)
    with h5py.File(folder / "knee/file1000001.h5", "w") as file:
        file["kspace"], file["mask"] = kspace, kept
    return folder


def undersampled_noise(rows: int, columns: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """K-space of two slices and three coils, and the lines that it keeps: each fourth, and eight around DC."""
    rng, numbers = np.random.default_rng(0), np.arange(columns)
    kept = (numbers % 4 == 0) | (abs(numbers - columns // 2 + 0.5) < 4)
    kspace = rng.normal(size=(2, 3, rows, columns)) + 1j * rng.normal(size=(2, 3, rows, columns))
    return (kspace * kept).astype(np.complex64), kept


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for results/models: models of brain and knee that nobody trained, as tests of them build theirs."""
    spec = spec_from_file_location("deploy_models", ROOT / "tests/deploy/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("models")
    for seed, acceleration in enumerate((4, 6)):
        made = module.make_model(folder / f"{acceleration}x", seed)
        named = {"name": f"unimri-{acceleration}x", "acceleration": acceleration}
        write_texts(made, ModelDescription.load(made).model_copy(update=named))
    return folder


def write_graph(path: Path) -> None:
    """Stand-in for an export, which takes half a minute: its inputs, its output and its notes, without the network."""
    onnx: Any = import_module("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    images, lines = ["batch", 2, "height", "width"], ["batch", "width"]
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["mask", "axes"], ["lines"]),
            helper.make_node("Mul", ["kspace", "lines"], ["image"]),
        ],
        "stand-in",
        [
            helper.make_tensor_value_info("kspace", number, images),
            helper.make_tensor_value_info("mask", number, lines),
        ],
        [helper.make_tensor_value_info("image", number, images)],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"anatomy": "knee", "scale_factor": "1.3"})
    onnx.save(model, path)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Of a finished experiment: masks at 4x, models, and Proposed as a network that was not trained."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    model = folder / "4x/seed2021/distilled/layer3"
    settings = CascadeSettings(width=4)
    anatomies = ("brain", "knee", "cardiac", "abdomen", "prostate")
    network = D5C5(settings, "aspin", anatomies)
    save_base(network, model)
    for anatomy in anatomies:
        save_aspin(network.conditioning.of(anatomy), anatomy, model, aspin_path(model, anatomy))
    (model / ABOUT).write_text(json.dumps({"network": settings.model_dump(), "conditioning": "aspin"}))
    task = parse_settings(MaskTask, {"mask": {"preset": "paper-like"}, "size": 64}, "test")
    save_masks(draw_masks(task.mask, task.size, 4), folder / "masks/4x.npz")
    shutil.copytree(models, folder / "models")
    return folder


@pytest.fixture(scope="session")
def own_files(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """What else lies in the working folder of someone with scans: arrays, an adapter given to them, an export."""
    folder = tmp_path_factory.mktemp("own")
    kspace, kept = undersampled_noise(40, 32)
    np.save(folder / "kspace.npy", kspace)
    np.save(folder / "mask.npy", kept)
    # Of (column, coil, row, slice), with real and imaginary parts.
    parts = np.random.default_rng(0).standard_normal((32, 2, 40, 3, 2), dtype=np.float32)
    with h5py.File(folder / "scan.h5", "w") as file:
        file["raw/k"] = parts
    network = load_model(models / "4x")
    about = AnatomyDescription(
        origin="real",
        role="new",
        crop=32,
        scale_factor=1.2,
        training_patients=4,
        features=[0.0] * FEATURES,
        largest_distance=1.0,
    )
    base = sha256(models / "4x" / WEIGHTS)
    save_adapter(network.conditioning.of("knee"), "hip", base, about, folder / "hip.aspin.safetensors")
    if find_spec("onnx"):
        write_graph(folder / "knee-4x.onnx")
    return folder


@pytest.fixture
def checkout(tmp_path: Path, results: Path, own_files: Path) -> Path:
    """A user's checkout after the experiment, with overlays and files of the user's own. No link leads out of it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "Snakefile", "config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for source in (ROOT / "envs", ROOT / "unimri", ROOT / "workflow", results):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(own_files, folder, dirs_exist_ok=True)
    for name in ("mine.yaml", "group.yaml"):
        (folder / name).write_text("seed: 2021\n")
    (folder / ".snakemake").mkdir()
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    return folder
