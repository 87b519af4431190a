"""S4 on a user's own scans: a new anatomy for 1,280 numbers, in one file, with a short report."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from unimri.core.artifacts import remove, sha256, write_text
from unimri.core.errors import UnimriError
from unimri.core.locks import NO_LOCKS, try_lock
from unimri.core.machine import choose_device, use_threads
from unimri.core.provenance import code_digest, versions
from unimri.core.settings import Settings
from unimri.core.text import decimals, markdown_table
from unimri.data.index import Fractions
from unimri.data.layouts import parse_reader
from unimri.data.prepare import Finding, PreparationSettings, PreparationTask, inspect, prepare
from unimri.data.reader import Reader
from unimri.data.store import PreparedData
from unimri.deploy.adapters import ENDING, check_name, save_adapter
from unimri.deploy.build import count_patients, describe_anatomy
from unimri.deploy.estimates import split_features
from unimri.deploy.figure import reconstruction_figure
from unimri.deploy.library import Adaptation, AnatomyDescription, AnatomyTask, ModelDescription, Quality, opened
from unimri.deploy.model import Model, load
from unimri.io import bart, fastmri, hdf5_arrays, nifti
from unimri.io.volume import files_below, has_suffix
from unimri.metrics.score import Score, mean_score, score_slice
from unimri.models.folder import WEIGHTS, insert_aspin, load_model, read_about
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks, draw_masks, save_masks
from unimri.training.engine import Callback
from unimri.training.methods import recipe
from unimri.training.run import Files, run_training
from unimri.training.settings import Budget, Optimisation, TrainingTask, training_modules
from unimri.training.steps import mean_absolute_error

# The paper's side of a slice, and the least of them that make an epoch worth its name.
_LARGEST_SIDE = 320
_STEPS = 200

_ZERO_FILLING = "zero filling"


class AdaptationSettings(Settings):
    """How an ASPIN is fitted; None: as the model's own new anatomies were, or by the scans."""

    size: int | None = Field(
        None, ge=32, le=1024, description="side, in the scanner's pixels, of the centre that is learnt from"
    )
    epochs: int | None = Field(None, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    origin: Literal["real", "simulated"] = Field("real", description="what the scans are; reports say so")


@dataclass(frozen=True)
class Adapted:
    """What came out: the adapter, the report, and mean scores on the test patients, by method."""

    name: str
    adapter: Path
    report: Path
    scores: dict[str, Score]

    def __str__(self) -> str:
        own, nearest = self.scores[self.name], _nearest(self.scores, self.name)
        gains = ", ".join(
            f"{decimals(own.psnr_db - self.scores[other].psnr_db, signed=True)} dB over {other}"
            for other in (_ZERO_FILLING, nearest)
        )
        return f"{self.name}: {decimals(own.psnr_db)} dB, {decimals(own.ssim_percent)} % on test patients; {gains}"


def _nearest(scores: dict[str, Score], name: str) -> str:
    """Of the model's own anatomies, the one whose ASPIN does best on the new one."""
    others = [other for other in scores if other not in (name, _ZERO_FILLING)]
    return max(others, key=lambda other: scores[other].psnr_db)


def adapt(
    folder: Path,
    name: str,
    model: Path,
    reader: Reader,
    output: Path,
    settings: AdaptationSettings,
    log: Callable[[str], None] = lambda line: None,
    callbacks: Sequence[Callback] = (),
) -> Adapted:
    """Fit the ASPIN of a new anatomy, compare it on patients that it has not seen, and write it with a report.

    Parameters
    ----------
    folder : the scans, of three patients at least, fully sampled.
    name : of the anatomy.
    model : folder or one file of the model; it is not changed.
    reader : how the folder is laid out.
    output : folder that gets `{name}.aspin.safetensors`, `{name}.md` and `{name}.png`.
    settings : how to fit.
    log : called with each line of what is done.
    callbacks : of the training.

    Raises
    ------
    UnimriError : when the name is taken, the scans do not do, or the output is there.
    """
    check_name(name)
    adapter, report, picture = (output / f"{name}{end}" for end in (ENDING, ".md", ".png"))
    # Kept when it is interrupted: the same command then goes on.
    work = output / f".{name}-work"
    # The adapter is written last: report and picture of a killed run are made again.
    for path in (adapter,) if work.exists() else (adapter, report, picture):
        if path.exists():
            raise UnimriError(f"{path}: is there already; remove it, or give another name or folder")
    with _at_work(work), opened(model) as base:
        description = ModelDescription.load(base).check_files(base)
        if name in description.anatomies:
            raise UnimriError(f"anatomy {name!r}: the model has it already; give another name")
        size = _check_scans(list(inspect(folder, reader, log)), settings, log)
        preparation = PreparationSettings(
            image_size=size,
            crop=size,
            fractions=Fractions(train=0.6, validation=0.2, test=0.2),
            on_error="skip",
        )
        prepare(
            name,
            folder,
            PreparationTask(reader=reader, fit="crop", preparation=preparation),
            work / "data",
            settings.seed,
        )
        data = PreparedData(work / "data")
        masks = draw_masks(description.mask, size, description.acceleration)
        save_masks(masks, work / "mask.npz")
        conditioning = read_about(base)[1]
        task = _task(description, settings, len(data.split("train")), conditioning)
        _log_time(task, base, data, masks, log)
        files = Files({name: work / "data"}, work / "mask.npz", base)
        run_training(task, files, work / "aspin", work / "checkpoints", callbacks)

        use_threads(settings.threads)
        network = load_model(base, [])
        insert_aspin(network, name, work / f"aspin/{name}.safetensors", base)
        adaptation = Adaptation(
            training_slices=len(data.split("train")),
            validation_slices=len(data.split("validation")),
            image_size=size,
            seed=settings.seed,
            epochs=task.budget.epochs,
            learning_rate=task.budget.learning_rate,
            data_sha256=sha256(work / "data/manifest.csv"),
            code=code_digest("unimri.deploy.adapt", *training_modules(task.recipe)),
            versions=versions(),
        )
        grid = Model(description, network).grid
        about = describe_anatomy(
            AnatomyTask(origin=settings.origin, role="new", crop=size),
            data,
            masks,
            grid,
            split_features(data, "train", grid),
            np.array(description.inverse_covariance),
        ).model_copy(update={"adaptation": adaptation})
        fitted = work / f"{name}{ENDING}"
        save_adapter(network.conditioning.of(name), name, sha256(base / WEIGHTS), about, fitted)
        scores = _compare(load(base, aspins=[fitted]), name, data, picture, settings.origin == "simulated")
        tested = len(data.split("test")), count_patients(data, "test")
        about = about.model_copy(update={"quality": Quality.of(*tested, scores[name], scores[_ZERO_FILLING])})
        write_text(report, _report(name, description, about, scores))
        save_adapter(network.conditioning.of(name), name, sha256(base / WEIGHTS), about, adapter)
    return Adapted(name, adapter, report, scores)


@contextmanager
def _at_work(work: Path) -> Iterator[None]:
    """Have a work folder for oneself. Patients' slices in it are removed in the end, and checkpoints when all is done.

    Raises
    ------
    UnimriError : when another process has it.
    """
    new = not work.parent.exists()
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = try_lock(work / ".lock")
        if lock is None:
            raise UnimriError(f"{work}: another `unimri adapt` is at work there; wait for it, or give another folder")
    except OSError as fault:
        if fault.errno not in NO_LOCKS:
            raise
    done = False
    try:
        yield
        done = True
    finally:
        remove(work / "data")
        if done or not (work / "checkpoints").exists():
            remove(work)
        if new and not any(work.parent.iterdir()):
            work.parent.rmdir()


def guess_reader(folder: Path) -> Reader:
    """The reader of what most files of a folder are: NIfTI, fastMRI's HDF5, others by their own endings, or else DICOM.

    Raises
    ------
    UnimriError : when the folder is missing or empty.
    """
    files = files_below(folder)
    counts = {
        "nifti": sum(has_suffix(path, nifti.ENDS) for path in files),
        "fastmri-h5": sum(has_suffix(path, fastmri.ENDS) for path in files),
        "bart": sum(has_suffix(path, bart.ENDS) for path in files),
        "hdf5-kspace": sum(has_suffix(path, hdf5_arrays.MATLAB) for path in files),
        "ismrmrd": sum(has_suffix(path, (".mrd",)) for path in files),
    }
    best = max(counts, key=lambda name: counts[name])
    return parse_reader(best if counts[best] else "dicom")


def _check_scans(found: list[Finding], settings: AdaptationSettings, log: Callable[[str], None]) -> int:
    """Check what was found, say it, and give the side of the slices to learn from."""
    usable = [one for one in found if one.shape is not None]
    patients = {one.patient for one in usable}
    slices = sum(one.shape[0] for one in usable if one.shape)
    for one in found:
        if one.fault:
            log(f"left out: {one.fault}")
        for text in one.notes:
            log(f"{one.volume}: {text}")
    left_out = len(found) - len(usable)
    log(f"{len(patients)} patients, {len(usable)} volumes, {slices} slices; {left_out} volumes left out")
    if len(patients) < 3:
        raise UnimriError(
            f"{len(patients)} patient(s) with usable scans, but three at least are needed: to train, validate and test "
            "on; give more scans, or a reader that says what makes a patient"
        )
    largest = max(max(one.shape[1:]) for one in usable if one.shape)
    return settings.size or min(_LARGEST_SIDE, largest + largest % 2)


def _task(description: ModelDescription, settings: AdaptationSettings, slices: int, conditioning: str) -> TrainingTask:
    training = description.settings["training"]
    own = training["stages"]["adapted"]
    optimisation = Optimisation(**training["optimisation"])
    steps = math.ceil(slices / optimisation.batch_size)
    epochs = settings.epochs or max(int(own["epochs"]), math.ceil(_STEPS / steps))
    return TrainingTask(
        stage="adapted",
        recipe=recipe("adapted").model_copy(update={"conditioning": conditioning}),
        network=description.settings["network"],
        budget=Budget(epochs=epochs, learning_rate=settings.learning_rate or own["learning_rate"]),
        optimisation=optimisation.model_copy(update={"steps_per_epoch": None, "precision": "auto"}),
        acquisition=description.settings.get("acquisition"),
        seed=settings.seed,
        threads=settings.threads,
        device=settings.device,
    )


def _log_time(task: TrainingTask, base: Path, data: PreparedData, masks: Masks, log: Callable[[str], None]) -> None:
    """Measure one step and say what all of them will take."""
    use_threads(task.threads)
    network = load_model(base)
    device = choose_device(task.device)
    network.to(device).requires_grad_(False)
    name = network.conditioning.anatomies[0]
    aspin = network.conditioning.of(name).requires_grad_(True)
    axis, train = PHASE_AXES[masks.axis], data.split("train")
    sampled = lines(torch.from_numpy(masks.masks[:1]), axis).to(device)
    truth = torch.from_numpy(train.batch([0])).to(device)
    seconds = math.inf
    for _ in range(3):
        started = time.perf_counter()
        image, _ = network(*undersample(truth, sampled, axis), sampled, axis, name)
        mean_absolute_error(image, truth).backward()  # type: ignore[no-untyped-call]
        aspin.zero_grad()
        seconds = min(seconds, time.perf_counter() - started)
    shown = task.budget.epochs * (len(train) + len(data.split("validation")) / 3)
    log(
        f"{len(train)} training slices of {data.image_size} x {data.image_size} pixels, {task.budget.epochs} epochs: "
        f"about {tqdm.format_interval(shown * seconds)} at {1 / seconds:.1f} slices/s"
    )


def _compare(model: Model, name: str, data: PreparedData, picture: Path, simulated: bool) -> dict[str, Score]:
    """Mean scores over the test slices of zero filling and of each ASPIN; draws the middle slice."""
    slices, settings = data.split("test"), model.description.metrics
    methods = [_ZERO_FILLING, name, *(other for other in model.anatomies if other != name)]
    found: dict[str, list[Score]] = {method: [] for method in methods}
    middle, drawn = len(slices) // 2, None
    for _, _, numbers in tqdm(list(slices.volumes()), desc="compare", unit="volume", disable=None):
        truth = slices.batch(numbers)
        kspace, mask = model.undersample(truth)
        images: dict[str, NDArray[np.float32]] = {_ZERO_FILLING: model.zero_fill(kspace)}
        images |= {anatomy: model.reconstruct(kspace, mask, anatomy) for anatomy in methods[1:]}
        for method, volume in images.items():
            found[method] += [score_slice(one, own, settings) for one, own in zip(truth, volume, strict=True)]
        if middle in numbers:
            place = int(np.flatnonzero(numbers == middle)[0])
            drawn = truth[place], {method: volume[place] for method, volume in images.items()}
    scores = {method: mean_score(rows) for method, rows in found.items()}
    assert drawn is not None
    truth, shown = drawn
    labels = {method: _label(method, name) for method in methods}
    images = {labels[method]: image for method, image in shown.items()}
    own = {label: score_slice(truth, image, settings) for label, image in images.items()}
    title = f"{name}, {model.acceleration:g}x, a test slice"
    reconstruction_figure(truth, images, own, title, picture, simulated=simulated)
    return scores


def _label(method: str, name: str) -> str:
    return method if method == _ZERO_FILLING else f"ASPIN {method}{' (new)' if method == name else ''}"


def _report(name: str, model: ModelDescription, about: AnatomyDescription, scores: dict[str, Score]) -> str:
    quality, adaptation = about.quality, about.adaptation
    assert quality is not None
    assert adaptation is not None
    nearest = _nearest(scores, name)
    gain = scores[name].psnr_db - scores[_ZERO_FILLING].psnr_db
    over = scores[name].psnr_db - scores[nearest].psnr_db
    rows = [
        [_label(method, name), decimals(score.psnr_db), decimals(score.ssim_percent)]
        for method, score in sorted(scores.items(), key=lambda pair: pair[1].psnr_db)
    ]
    verdict = "is worth its numbers"
    if over <= 0:
        verdict = f"is no better than the ASPIN of {nearest}, which could be used"
    if gain <= 0:
        verdict = "is of no use: give more scans or epochs, or another size"
    return (
        "\n\n".join(
            [
                f"# {name}, adapted",
                f"An ASPIN for {name} on {model.name} ({model.acceleration:g}x), fitted to {about.training_patients} "
                f"{about.origin} patient(s), {adaptation.training_slices} slices of {adaptation.image_size} x "
                f"{adaptation.image_size} pixels, in {adaptation.epochs} epochs. The base and the other ASPINs are as "
                "they were.",
                f"On {quality.patients} test patient(s), {quality.slices} slices, it gains "
                f"{decimals(gain, signed=True)} dB over zero filling and {decimals(over, signed=True)} dB over "
                f"{nearest}, the nearest of the model's own anatomies: it {verdict}."
                + (" So few test patients say little." if quality.patients < 5 else ""),
                markdown_table(["Method", "PSNR (dB)", "SSIM (%)"], rows),
                f"{model.metrics.description}, intensities of a volume in [0, 1]; retrospective undersampling with the "
                "model's own mask, the scale estimated from what was measured, as `unimri reconstruct` does.",
                f"![A test slice]({name}.png)",
                f"Use it: `unimri reconstruct SCAN --aspin {name}{ENDING} --anatomy {name} -o OUT`, or "
                f"`unimri aspins add {name}{ENDING}`.",
            ]
        )
        + "\n"
    )
