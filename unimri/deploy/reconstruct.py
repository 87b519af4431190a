"""Whole scans: each volume in, its reconstruction out in the format that it came in."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.errors import ReadError, UnimriError, printable
from unimri.core.provenance import versions
from unimri.core.stacks import Mapped, Slices, extremes
from unimri.deploy.estimates import Choice
from unimri.deploy.library import find_model
from unimri.deploy.model import UNKNOWN_NOISE, Model, load
from unimri.io.formats import Source, check_output, search
from unimri.io.notes import heard
from unimri.io.volume import Images, Negatives, Provenance, passed_lines
from unimri.metrics.base import MetricSettings
from unimri.physics.acquisition import Acquisition
from unimri.physics.fourier import combine_coils, to_kspace
from unimri.physics.mask import PHASE_AXES, PhaseEncoding
from unimri.physics.noise import compress

if TYPE_CHECKING:
    # Without the truth, nothing is scored.
    from unimri.metrics.score import Score

log = logging.getLogger(__name__)

_METRICS = ["zero_filled_psnr_db", "zero_filled_ssim_percent", "psnr_db", "ssim_percent"]
_COLUMNS = ["volume", "slice", "model", "anatomy", "acceleration", *_METRICS]


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes
    ----------
    anatomy : a name, or "auto"; None where the model has one alone.
    fallback : the anatomy where "auto" finds that the input is like none; None: that volume is refused.
    acceleration : of retrospective undersampling; None: the model's own.
    mask : bool (N,), the lines to keep, instead of those that the input or the model says.
    mask_axis : what they are; None: told by the mask's shape.
    format : name of the input's format where it is not to be told by its content.
    as_png : write slices as pictures and not in the input's format.
    deidentify : leave out whatever tells who was scanned, and when.
    negatives : what negative values of images are, see `unimri.io.volume.magnitudes`.
    coils : how many virtual coils a scan of more is compressed to; None: all are used.
    complex : write complex images, and not their magnitude.
    noise_map : write a noise map beside each reconstruction, of so many replicas; 0: none.
    """

    anatomy: str | None = None
    fallback: str | None = None
    acceleration: float | None = None
    mask: NDArray[np.bool_] | None = None
    mask_axis: PhaseEncoding | None = None
    format: str | None = None
    as_png: bool = False
    deidentify: bool = False
    negatives: Negatives = "refuse"
    coils: int | None = None
    complex: bool = False
    noise_map: int = 0


class Outcome(NamedTuple):
    """What became of one volume.

    Attributes
    ----------
    name, number : of the volume, see `unimri.io.formats.Source`: the name is for whoever may see the scans.
    model, anatomy : that were used; blank when the volume was refused.
    choice : how the anatomy was chosen, where the model chose.
    acceleration : lines over lines kept.
    zero_filled, own : scores of each slice, where the truth is known: PSNR and SSIM by the largest intensity of the
        truth's volume. Empty where it is not.
    fault : why there is no reconstruction, and the mend; blank when there is one. It names no file where the request
        is to deidentify.
    """

    name: str
    number: int
    model: str = ""
    anatomy: str = ""
    choice: Choice | None = None
    acceleration: float = 0.0
    slices: int = 0
    zero_filled: tuple["Score", ...] = ()
    own: tuple["Score", ...] = ()
    fault: str = ""
    notes: tuple[str, ...] = ()


class Models:
    """Gives the model of each volume: the one that was named or, of those that are found, the nearest in acceleration.

    Parameters
    ----------
    named : path or name of a model; None: choose among those that are found.
    device, aspins : see `unimri.load`.
    """

    def __init__(self, named: Path | str | None, device: str, aspins: Sequence[Path]) -> None:
        self._named, self._device, self._aspins = named, device, aspins
        self._loaded: dict[Path, Model] = {}

    def of(self, acceleration: float | None) -> Model:
        """The model for an acceleration; None: the first that is found."""
        path = find_model(self._named, acceleration)
        if path not in self._loaded:
            self._loaded[path] = load(path, self._device, self._aspins)
        return self._loaded[path]


def reconstruct(
    source: Path, output: Path, models: Models, wanted: Request, tell: Callable[[str], None] = lambda line: None
) -> Iterator[Outcome]:
    """Reconstruct every volume of a file or folder, one after the other; give what became of each.

    A few slices are in memory at a time. A volume that cannot be read or reconstructed is left out, with the reason;
    the others go on. They are written where `unimri.io.formats.Source.target` says. `tell` is called with each line
    about files that are passed over.

    Raises
    ------
    UnimriError : before anything is read, when nothing is found, no model is, or the output is there or lies over the
        input.
    """
    sources, passed = search(source, wanted.format)
    check_output(sources, output, wanted.deidentify, wanted.as_png, wanted.complex, bool(wanted.noise_map))
    models.of(wanted.acceleration)
    for line in passed_lines(passed, source, private=wanted.deidentify):
        tell(line)
    for one in tqdm(sources, desc="reconstruct", unit="volume", disable=True if len(sources) == 1 else None):
        try:
            yield _reconstruct(one, output, models, wanted)
        # Whatever a library raises ends this volume, and no other.
        except Exception as fault:
            yield Outcome(one.name, one.number, fault=_reason(one, fault, wanted.deidentify))


def _reason(source: Source, fault: Exception, deidentify: bool) -> str:
    """Say what is wrong with a volume; not by its files' names where they must not be told."""
    if not isinstance(fault, UnimriError):
        log.debug("%s", source.paths[0], exc_info=True)
        # What a library says may hold a header's value.
        said = "" if deidentify else f": {fault}"
        fault = UnimriError(f"{source.paths[0]}: cannot be reconstructed ({type(fault).__name__}{said})")
    if not deidentify:
        return str(fault)
    if isinstance(fault, ReadError):
        return f"{fault.reason}; {fault.mend}"
    paths = sorted({str(path) for path in (*source.paths, source.root)}, key=len, reverse=True)
    return re.sub(rf"(?<![\w/.-])({'|'.join(map(re.escape, paths))})(?![\w/.-])", "the input", str(fault))


def _reconstruct(source: Source, output: Path, models: Models, wanted: Request) -> Outcome:
    with heard() as notes:
        content = source.open(wanted.negatives)
    if wanted.noise_map and isinstance(content, Images):
        fault = "holds images and no k-space, of whose noise a map could tell"
        raise ReadError(source.paths[0], fault, "leave out the noise map, or give k-space")
    if isinstance(content, Images) or content.complete:
        retrospective, model = True, models.of(wanted.acceleration)
        scan = _undersampled(content, model, wanted)
    else:
        # A mask that is given may be of the other axis.
        scan = content if wanted.mask is None else content.undersampled(wanted.mask, wanted.mask_axis)
        retrospective, model = False, models.of(scan.acceleration)
    told, coils = [], scan.kspace.shape[1]
    if wanted.coils is not None and coils > wanted.coils:
        scan = compress(scan, wanted.coils)
        told.append(f"{coils} coils compressed to {wanted.coils}")
    slices, settings = len(scan.kspace), model.description.metrics
    prepared = model.prepare_volume(scan, wanted.anatomy, wanted.fallback)
    if wanted.complex and prepared.coil_by_coil:
        mend = "leave out the option for complex images, or measure more lines around DC"
        raise ReadError(source.paths[0], f"has no one phase ({prepared.coil_by_coil})", mend)
    scored = scan.truth is not None and scan.truth.shape[1:] == scan.image_size
    largest = extremes(scan.truth)[1] if scored else 0.0
    # Neither the volume nor its reconstruction need fit into the memory.
    written = Slices.new((slices, *scan.image_size), np.complex64 if wanted.complex else np.float32)
    before, after = [], []
    with tqdm(total=slices, desc="slices", unit="slice", disable=None, leave=False) as bar:
        for part, images, zero_filled in model.reconstruct_parts(scan, prepared, lambda done: bar.update(done - bar.n)):
            own, without = (scan.cropped(combine_coils(one).numpy()) for one in (images, zero_filled))
            kept = scan.cropped(_combined(images).numpy()) if wanted.complex else own
            for number, image in enumerate(kept, part.start):
                written[number] = image
            # What is not finite is told where it would be written.
            if largest and np.isfinite(own).all():
                truth = scan.truth[part]
                before += _scores(truth, without, largest, settings)
                after += _scores(truth, own, largest, settings)
    name, acceleration = model.description.name, scan.acceleration
    provenance = Provenance(
        name, prepared.anatomy, acceleration, retrospective, versions()["unimri"], wanted.deidentify
    )
    noise_maps = None
    if wanted.noise_map:
        noise_maps = Slices.new(written.shape, np.float32)
        with tqdm(total=slices, desc="noise maps", unit="slice", disable=None, leave=False) as bar:
            for number, own in enumerate(model.noise_maps(scan, prepared, wanted.noise_map)):
                noise_maps[number] = scan.cropped(own)
                bar.update()
        if not prepared.noise.all():
            told.append(
                f"k-space does not tell its noise: the noise map is of {UNKNOWN_NOISE:.1%} of the largest intensity"
            )
    source.write(written, output, provenance, wanted.as_png)
    if noise_maps is not None:
        source.write(noise_maps, output, provenance, noise_map=True)
    return Outcome(
        source.name,
        source.number,
        name,
        prepared.anatomy,
        prepared.choice,
        acceleration,
        slices,
        tuple(before),
        tuple(after),
        notes=(*notes, *told, *filter(None, (prepared.coil_by_coil, model.outside(scan, prepared)))),
    )


def _undersampled(content: Images | Acquisition, model: Model, wanted: Request) -> Acquisition:
    """Leave lines of a whole scan out."""
    if isinstance(content, Images):
        rows, columns = content.images.shape[1:]
        kspace = Mapped(content.images, _one_coil, (1, rows, columns))
        axis = model.description.mask.axis
        every = np.ones((1, kspace.shape[PHASE_AXES[axis]]), np.bool_)
        content = Acquisition(kspace, every, axis, truth=content.images)
    if wanted.mask is not None:
        return content.undersampled(wanted.mask, wanted.mask_axis)
    # All points are all lines, too.
    axis = "columns" if content.axis == "points" else content.axis
    masks = model.masks(content.kspace.shape[PHASE_AXES[axis]], wanted.acceleration)
    return content.undersampled(masks.of_slices(np.arange(len(content.kspace))), axis)


def _combined(images: torch.Tensor) -> torch.Tensor:
    """One complex image of one or two sets (b, sets, rows, columns): their magnitude, and the phase of the stronger."""
    if images.shape[1] == 1:
        return images[:, 0]
    stronger = images.gather(1, images.abs().argmax(1, keepdim=True))[:, 0]
    return torch.polar(combine_coils(images), stronger.angle())


def _one_coil(image: NDArray[np.float32]) -> NDArray[np.complex64]:
    kspace: NDArray[np.complex64] = to_kspace(torch.from_numpy(image)).numpy()[None]
    return kspace


def _scores(
    truth: NDArray[np.float32], images: NDArray[np.float32], largest: float, settings: MetricSettings
) -> list["Score"]:
    from unimri.metrics.score import score_slice

    window = 11 if settings.gaussian else settings.ssim_window
    if min(truth.shape[1:]) < window:
        return []
    return [score_slice(one / largest, own / largest, settings) for one, own in zip(truth, images, strict=True)]


def outcome_line(outcome: Outcome, deidentify: bool) -> str:
    """Say what became of a volume, by its number alone where the request is to deidentify."""
    # The name may be a patient's; that of a volume which is all of its input is a dot.
    name = f"volume {outcome.number}" if deidentify or outcome.name == "." else outcome.name
    if outcome.fault:
        return printable(f"{name}: left out: {outcome.fault}")
    how, choice = "", outcome.choice
    if choice is not None:
        how = f" (fallback: {choice.unlike})" if choice.unlike else f" (auto, {choice.confidence:.0%} sure)"
    used = f"{outcome.acceleration:.2f}x, {outcome.model}, {outcome.anatomy}{how}"
    line = f"{name}: {outcome.slices} slices, {used}"
    gain = f": {_gain(outcome.zero_filled, outcome.own)}" if outcome.own else ""
    return printable("; ".join([f"{line}{gain}", *outcome.notes]))


def summary(outcomes: Sequence[Outcome], output: Path) -> str:
    """Say what became of all of them together."""
    done = [outcome for outcome in outcomes if not outcome.fault]
    if not done:
        return f"0 of {len(outcomes)} volumes: nothing was written"
    before = tuple(score for outcome in done for score in outcome.zero_filled)
    after = tuple(score for outcome in done for score in outcome.own)
    slices = sum(outcome.slices for outcome in done)
    text = f"{len(done)} of {len(outcomes)} volumes, {slices} slices, written to {printable(str(output))}"
    return f"{text}; mean over {len(after)} slices: {_gain(before, after)}" if len(done) > 1 and after else text


def _gain(zero_filled: tuple["Score", ...], own: tuple["Score", ...]) -> str:
    from unimri.core.text import decimals
    from unimri.metrics.score import mean_score

    before, after = mean_score(zero_filled), mean_score(own)
    return (
        f"PSNR {decimals(before.psnr_db)} -> {decimals(after.psnr_db)} dB, SSIM {decimals(before.ssim_percent)} -> "
        f"{decimals(after.ssim_percent)} % (zero filling -> model)"
    )


def write_scores(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write one row a slice: volume (its number in the input, from 1; never its name), slice (from 0), scores."""
    # Here, since few ask for them.
    import pandas as pd

    from unimri.core.text import write_csv

    rows = [
        (outcome.number, place, outcome.model, outcome.anatomy, round(outcome.acceleration, 4), *before, *after)
        for outcome in outcomes
        for place, (before, after) in enumerate(zip(outcome.zero_filled, outcome.own, strict=True))
    ]
    write_csv(path, pd.DataFrame(rows, columns=_COLUMNS))
