import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from blocks import ROOT

from unimri.data.simulate.settings import SimulationSettings
from unimri.data.simulate.simulate import simulate
from unimri.models.cascade import UniversalD5C5
from unimri.models.folder import ABOUT, aspin_path, save_aspin, save_base
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import MaskTask, draw_masks, save_masks
from unimri.settings import parse_settings


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
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a finished experiment: masks at 4x, and Proposed as a network that was not trained."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    model = folder / "4x/seed2021/distilled/layer3"
    settings = CascadeSettings(width=4)
    anatomies = ("brain", "knee", "cardiac", "abdomen", "prostate")
    network = UniversalD5C5(settings, anatomies)
    save_base(network, model)
    for anatomy in anatomies:
        save_aspin(network.aspin_of(anatomy), anatomy, model, aspin_path(model, anatomy))
    (model / ABOUT).write_text(json.dumps({"network": settings.model_dump(), "normalisation": "aspin"}))
    task = parse_settings(MaskTask, {"mask": {"preset": "paper-like"}, "size": 64}, "test")
    save_masks(draw_masks(task.mask, task.size, 4), folder / "masks/4x.npz")
    return folder


@pytest.fixture
def checkout(tmp_path: Path, results: Path) -> Path:
    """A user's checkout after the experiment, with overlays of the user's own. No link leads out of it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "Snakefile", "config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for source in (ROOT / "envs", ROOT / "unimri", ROOT / "workflow", results):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("mine.yaml", "group.yaml"):
        (folder / name).write_text("seed: 2021\n")
    (folder / ".snakemake").mkdir()
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    return folder
