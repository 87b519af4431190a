import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import tree
from safetensors.torch import load_file

from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError
from unimri.data.store import PreparedData
from unimri.evaluation.reconstruct import reconstruct_test_split
from unimri.evaluation.reconstructions import Reconstruction
from unimri.metrics.score import AS_TRAINED
from unimri.models import conditioning
from unimri.models.folder import load_model
from unimri.physics.fourier import lines, undersample
from unimri.physics.masks import Gaussian1D, draw_masks, save_masks
from unimri.training import run
from unimri.training.checkpoints import Checkpoints
from unimri.training.run import run_training
from unimri.training.settings import TrainingTask

PER_ANATOMY = "conditioning.per_anatomy"


def reconstruction(folder: Path, anatomy: str) -> torch.Tensor:
    sampled = lines(torch.arange(16)[None] % 4 == 0, -1)
    image = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return load_model(folder)(*undersample(image, sampled, -1), sampled, -1, anatomy)[0]


def test_a_plain_models_file_holds_its_numbers_and_nothing_else(experiment, tmp_path) -> None:
    folder = experiment.train("independent", tmp_path / "head", "head")
    tensors = load_file(folder / "model.safetensors")
    assert set(tensors) == {
        f"blocks.{b}.convolutions.{c}.{p}" for b in range(2) for c in range(5) for p in ("weight", "bias")
    }
    assert json.loads((folder / "model.json").read_text())["parameters"] == sum(t.numel() for t in tensors.values())
    assert (folder / "history.csv").read_text().startswith("epoch,step,train_loss,validation_psnr_db")
    assert not list(experiment.folder.glob("checkpoints/*"))
    (folder / "any").touch()
    assert (folder / "model.safetensors").stat().st_mode == (folder / "any").stat().st_mode


def test_same_task_same_bytes(experiment, tmp_path) -> None:
    first = tree(experiment.train("pretrained", tmp_path / "a", "head", "hand"))
    assert first == tree(experiment.train("pretrained", tmp_path / "b", "head", "hand"))


def test_s4_changes_nothing_that_was_there(experiment, pretrained) -> None:
    before, outputs = tree(pretrained), {name: reconstruction(pretrained, name) for name in ("head", "hand")}
    experiment.train("adapted", pretrained / "aspin", "hip", base=pretrained)
    after = tree(pretrained)
    assert {name: after[name] for name in before} == before
    assert {name for name in after if name not in before} == {
        "aspin/hip.safetensors",
        "aspin/hip.json",
        "aspin/hip.history.csv",
        "aspin/last/hip.safetensors",
    }
    for name, output in outputs.items():
        assert torch.equal(reconstruction(pretrained, name), output)
    assert sum(t.numel() for t in load_file(pretrained / "aspin/hip.safetensors").values()) == 2 * 2 * 4 * 3
    assert not torch.equal(reconstruction(pretrained, "hip"), outputs["head"])


@pytest.fixture
def watched(monkeypatch) -> list[set[str]]:
    """Names of the tensors that each iteration of the trainings to come changes, in the order of the iterations."""
    changes: list[set[str]] = []
    inner = run.train

    def train(training, *rest):
        last: dict[str, torch.Tensor] = {}

        def note() -> None:
            now = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
            if last:
                changes.append({name for name in now if not torch.equal(now[name], last[name])})
            last.update(now)

        def noting(step: int) -> torch.Tensor:
            note()
            return training.loss_of(step)

        progress = inner(replace(training, loss_of=noting), *rest)
        note()
        return progress

    monkeypatch.setattr(run, "train", train)
    return changes


def heavy(task: TrainingTask) -> TrainingTask:
    """With weight decay enough to move every parameter that the optimiser touches."""
    return task.model_copy(update={"optimisation": task.optimisation.model_copy(update={"weight_decay": 0.1})})


def test_every_iteration_of_s4_changes_only_the_new_aspin(experiment, pretrained, tmp_path, watched) -> None:
    files = experiment.files("hip", base=pretrained)
    run_training(heavy(experiment.task("adapted")), files, tmp_path / "aspin", tmp_path / "c")
    assert watched == [{f"{PER_ANATOMY}.hip.gamma", f"{PER_ANATOMY}.hip.beta"}] * 4


def test_an_s2_iteration_changes_only_its_own_anatomys_aspin(experiment, tmp_path, watched) -> None:
    files = experiment.files("head", "hand")
    run_training(heavy(experiment.task("pretrained")), files, tmp_path / "s2", tmp_path / "c")
    assert len(watched) == 8
    for number, changed in enumerate(watched):
        anatomy = ("head", "hand")[number % 2]
        assert {name for name in changed if name.startswith(f"{PER_ANATOMY}.")} == {
            f"{PER_ANATOMY}.{anatomy}.gamma",
            f"{PER_ANATOMY}.{anatomy}.beta",
        }
        assert any(name.startswith("blocks.") for name in changed)


def test_s3_leaves_its_teachers_and_learns_from_them(experiment, pretrained, tmp_path) -> None:
    teachers = {name: experiment.train("independent", tmp_path / name, name) for name in ("head", "hand")}
    before = tree(tmp_path)
    distilled = experiment.train("distilled", tmp_path / "d", "head", "hand", base=pretrained, teachers=teachers)
    continued = experiment.train("continued", tmp_path / "c", "head", "hand", base=pretrained)
    assert {name: digest for name, digest in tree(tmp_path).items() if name in before} == before
    assert sha256(distilled / "model.safetensors") != sha256(continued / "model.safetensors")
    with pytest.raises(UnimriError, match="teachers"):
        experiment.train(
            "distilled", tmp_path / "e", "head", "hand", base=pretrained, teachers={"head": teachers["head"]}
        )


def test_a_changed_setting_does_not_resume_from_a_stale_checkpoint(experiment, tmp_path, monkeypatch) -> None:
    save = Checkpoints.save

    def save_and_die(*arguments) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_training(experiment.task("independent", 3), experiment.files("head"), tmp_path / "x", tmp_path / "c")
    monkeypatch.undo()
    stale = tree(tmp_path / "c")
    assert stale
    run_training(experiment.task("independent", 2), experiment.files("head"), tmp_path / "y", tmp_path / "c")
    run_training(experiment.task("independent", 2), experiment.files("head"), tmp_path / "z", tmp_path / "fresh")
    assert tree(tmp_path / "y") == tree(tmp_path / "z")
    assert tree(tmp_path / "c") == stale
    assert not tree(tmp_path / "fresh")


def test_an_aspin_of_another_base_is_refused(experiment, pretrained, tmp_path) -> None:
    other = experiment.train("pretrained", tmp_path / "other", "hand", "head")
    (other / "aspin/head.safetensors").write_bytes((pretrained / "aspin/head.safetensors").read_bytes())
    with pytest.raises(UnimriError, match=r"head\.safetensors"):
        load_model(other)


def test_fine_tuning_keeps_the_old_aspins_numbers_and_forgets_all_the_same(experiment, pretrained, tmp_path) -> None:
    folder = experiment.train("finetuned", tmp_path / "hip", "hip", base=pretrained)
    assert {path.name for path in (folder / "aspin").glob("*.safetensors")} == {
        "head.safetensors",
        "hand.safetensors",
        "hip.safetensors",
    }
    old, new = load_file(pretrained / "aspin/head.safetensors"), load_file(folder / "aspin/head.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert sha256(folder / "model.safetensors") != sha256(pretrained / "model.safetensors")
    assert not torch.equal(reconstruction(folder, "head"), reconstruction(pretrained, "head"))
    # All that learnt: the base, and the new anatomy's ASPIN, but none of the others.
    base = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    aspin = sum(tensor.numel() for tensor in new.values())
    assert json.loads((folder / "model.json").read_text())["parameters"] == base + aspin


def test_plain_instance_normalisation_has_one_set_of_parameters_for_all_anatomies(experiment, tmp_path) -> None:
    folder = experiment.train("shared_instance_norm", tmp_path / "in", "head", "hand")
    assert not (folder / "aspin").exists()
    tensors = load_file(folder / "model.safetensors")
    assert not torch.equal(tensors["affine.gamma"], torch.ones(2, 4, 3))
    assert torch.equal(reconstruction(folder, "head"), reconstruction(folder, "an anatomy never seen"))


def test_from_few_patients_it_learns_for_as_many_steps(experiment, tmp_path) -> None:
    task = experiment.task("independent")
    task = task.model_copy(
        update={"optimisation": task.optimisation.model_copy(update={"steps_per_epoch": None}), "patients": 1}
    )
    few, every = (task.model_copy(update={"patients": patients}) for patients in (1, None))
    weights = []
    for name, chosen in (("few", few), ("every", every)):
        run_training(chosen, experiment.files("head"), tmp_path / name, tmp_path)
        steps = [line.split(",")[1] for line in (tmp_path / name / "history.csv").read_text().splitlines()[1:]]
        slices = len(PreparedData(experiment.folder / "data/head").split("train"))
        assert steps == [str(-(-slices // 2)), str(2 * -(-slices // 2))]
        weights.append(sha256(tmp_path / name / "last/model.safetensors"))
    assert weights[0] != weights[1]
    many = task.model_copy(update={"patients": 9})
    with pytest.raises(UnimriError, match=r"studies\.patients: 9 is more than the \d patients"):
        run_training(many, experiment.files("head"), tmp_path / "many", tmp_path)


def test_fewer_patients_are_always_among_more(experiment) -> None:
    data = PreparedData(experiment.folder / "data/head")

    def volumes(count: int) -> set[str]:
        slices = data.some_patients("train", count, 4)
        return {slices.volume_of(number)[0] for number in range(len(slices))}

    patients = data.manifest.loc[data.manifest["split"] == "train", "patient"].nunique()
    assert volumes(1) < volumes(2) <= volumes(patients)
    whole = data.split("train")
    assert volumes(patients) == {whole.volume_of(number)[0] for number in range(len(whole))}


def test_film_goes_on_from_a_network_without_conditioning_and_aspin_does_not(experiment, tmp_path) -> None:
    plain = experiment.train("shared", tmp_path / "plain", "head", "hand")
    task = experiment.task("continued")
    film = task.model_copy(update={"recipe": task.recipe.model_copy(update={"conditioning": "film"})})
    run_training(film, experiment.files("head", "hand", base=plain), tmp_path / "film", tmp_path)
    assert load_model(tmp_path / "film").conditioning.anatomies == ["hand", "head"]
    # Without a step it is the network that it starts from.
    settings = film.budget.model_copy(update={"learning_rate": 1e-30})
    still = film.model_copy(update={"budget": settings})
    run_training(still, experiment.files("head", "hand", base=plain), tmp_path / "still", tmp_path)
    before, after = (load_model(folder).state_dict() for folder in (plain, tmp_path / "still"))
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    # S4 adds to a universal network alone.
    fitting = experiment.task("adapted")
    fitting = fitting.model_copy(update={"recipe": fitting.recipe.model_copy(update={"conditioning": "film"})})
    run_training(fitting, experiment.files("hip", base=tmp_path / "film"), tmp_path / "film/aspin", tmp_path)
    assert load_model(tmp_path / "film").conditioning.anatomies == ["hand", "head", "hip"]
    for stage in (fitting, task):
        with pytest.raises(UnimriError, match=f"plain: a plain network; {stage.stage} starts from a universal one"):
            run_training(stage, experiment.files("head", "hand", base=plain), tmp_path / "aspin", tmp_path)


SCALED = """
import torch
from torch import nn
from unimri.models.conditioning import base

class Scale(base.Condition):
    def __init__(self, settings):
        super().__init__()
        layers, width = settings.conditioned
        self.scale = nn.Parameter(torch.ones(settings.cascades, layers, width))

    def forward(self, features, cascade, layer):
        return (features * self.scale[cascade, layer][:, None, None]).relu()

class Conditioning(base.Conditioning):
    adaptable = True
    called = "scale"

    def new(self):
        return Scale(self.settings)
"""


def test_a_new_conditioning_is_one_module_and_goes_through_s2_and_s4(experiment, tmp_path, monkeypatch) -> None:
    (tmp_path / "scaled.py").write_text(SCALED)
    monkeypatch.setattr(conditioning, "__path__", [*conditioning.__path__, str(tmp_path)])
    folder = tmp_path / "scaled"

    def task(stage: str) -> TrainingTask:
        own = experiment.task(stage)
        return own.model_copy(update={"recipe": own.recipe.model_copy(update={"conditioning": "scaled"})})

    run_training(task("pretrained"), experiment.files("head", "hand"), folder, tmp_path / "c")
    run_training(task("adapted"), experiment.files("hip", base=folder), folder / "aspin", tmp_path / "c")
    network = load_model(folder)
    assert network.conditioning.anatomies == ["hand", "head", "hip"]
    assert not torch.equal(network.conditioning.of("hip").scale, network.conditioning.of("head").scale)
    assert (
        json.loads((folder / "aspin/hip.json").read_text())["parameters"] == network.conditioning.numbers == 2 * 4 * 3
    )
    assert not torch.equal(reconstruction(folder, "hip"), reconstruction(folder, "head"))
    with pytest.raises(UnimriError, match="its conditioning is scaled, and adapted starts from aspin"):
        experiment.train("adapted", tmp_path / "other", "hip", base=folder)


def turn_a_bit_over(path: Path) -> None:
    """In the numbers, where the container stays whole; times and size of the file stay, too."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 64
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_network_that_is_not_what_was_trained_is_refused(experiment, pretrained, tmp_path) -> None:
    teachers = {name: experiment.train("independent", tmp_path / name, name) for name in ("head", "hand")}
    base = shutil.copytree(pretrained, tmp_path / "base")
    experiment.train("adapted", base / "aspin", "hip", base=base)
    load_model(base)
    for path, stage, given in (
        (teachers["hand"] / "model.safetensors", "distilled", {"base": base, "teachers": teachers}),
        (base / "model.safetensors", "continued", {"base": base}),
        (base / "aspin/head.safetensors", "continued", {"base": base}),
        (base / "aspin/hip.safetensors", None, {}),
    ):
        turn_a_bit_over(path)
        says = rf"^{path}: is not the file that was made \(SHA-256\); make it again: `snakemake --force {path}`"
        with pytest.raises(UnimriError, match=says):
            load_model(path.parents[1] if path.parent.name == "aspin" else path.parent)
        if stage is not None:
            with pytest.raises(UnimriError, match=says):
                experiment.train(stage, tmp_path / "x", "head", "hand", **given)
        turn_a_bit_over(path)
    load_model(base)


def test_what_a_network_was_not_trained_with_is_refused(experiment, pretrained, tmp_path) -> None:
    teachers = {name: experiment.train("independent", tmp_path / name, name) for name in ("head", "hand")}
    other = shutil.copytree(experiment.folder / "data/head", tmp_path / "data/head")
    manifest = other / "manifest.csv"
    rows = manifest.read_text()
    splits = rows.replace(",train,", ",test,", 1)
    save_masks(draw_masks(Gaussian1D(seed=1), 16, 4), tmp_path / "other.npz")
    files, wanted = experiment.files("head", "hand", base=pretrained, teachers=teachers), {"method": "m", "seed": 1}
    given = {"condition": AS_TRAINED, "model": teachers["head"]}
    one = Reconstruction.model_validate(wanted | given)
    for data, mask, changed in (
        (experiment.folder / "data/head", tmp_path / "other.npz", tmp_path / "other.npz"),
        (other, files.mask, manifest),
    ):
        # Of another preparation, and so without a note that would give it away.
        manifest.write_text(splits)
        manifest.with_name("manifest.csv.sha256").unlink(missing_ok=True)
        says = rf"^{changed}: is not the file that was made .*model.json was made from another: `snakemake --force .*"
        with pytest.raises(UnimriError, match=says):
            replace(files, data={**files.data, "head": data}, mask=mask).check()
        with pytest.raises(UnimriError, match=says):
            reconstruct_test_split("head", data, mask, [one], tmp_path / "x.h5")
    # A model that was given to others is adapted with masks of another size.
    base = shutil.copytree(pretrained, tmp_path / "given")
    (base / "description.json").write_text("{}")
    replace(files, base=base, teachers=None, mask=tmp_path / "other.npz").check()
    manifest.write_text(rows)
    reconstruct_test_split("head", other, files.mask, [one], tmp_path / "x.h5")
