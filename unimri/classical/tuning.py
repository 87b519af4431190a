"""Choosing the weight of a classical method's penalty on validation."""

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.classical.settings import Classical, Tuned
from unimri.core.artifacts import as_json, check_noted, noting, sha256
from unimri.core.errors import UnimriError
from unimri.core.machine import use_threads
from unimri.core.provenance import code_digest, versions
from unimri.core.settings import read_settings
from unimri.data.store import PreparedData, SliceSet, evenly_spaced
from unimri.metrics.base import MetricSettings, psnr
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.masks import Masks, load_masks
from unimri.physics.retrospective import Reconstructor, batches, reconstruct_slices

log = logging.getLogger(__name__)

# How often the grid may grow, and what its end must gain over its neighbour for that: without noise the best weight has
# no lower bound, and PSNR does not change any more.
_EXTENSIONS = 4
_GAIN_DB = 0.01


def tune(
    settings: Classical,
    anatomy: str,
    data: Path,
    mask: Path,
    metrics: MetricSettings,
    limit: int,
    output: Path,
    acquisition: AcquisitionSettings | None = None,
) -> None:
    """Choose the weight with the highest mean PSNR on validation, and write it with what was tried (`Tuned`) as JSON.

    The solution of least norm is tried too, as weight 0, so that no method is below it on these slices. While the best
    weight is at an end of the grid and 0.01 dB above its neighbour, the grid grows there by their ratio, four times at
    most. An earlier `output` that follows from the same is taken over.

    Parameters
    ----------
    settings : the method, its grid and its iterations.
    data : folder of prepared data.
    limit : of validation slices, evenly spaced.
    output : the JSON file.
    acquisition : see `unimri.physics.retrospective.reconstruct_slices`.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    masks = load_masks(mask)
    slices = PreparedData(data).split("validation")
    numbers = evenly_spaced(len(slices), limit)
    follows_from = {
        "settings": settings,
        "anatomy": anatomy,
        "slices": len(numbers),
        "metrics": metrics.model_dump(),
        "acquisition": acquisition,
        "inputs": {"data": sha256(data / "manifest.csv"), "mask": sha256(mask)},
        "code": code_digest("unimri.classical.tuning"),
        "versions": versions("PyWavelets", "sigpy"),
    }
    earlier = None
    with suppress(UnimriError):
        check_noted(output)
        earlier = read_settings(Tuned, output, "tune again")
    if earlier is not None and all(getattr(earlier, name) == value for name, value in follows_from.items()):
        # Written anew all the same: its time says that it is up to date.
        _write(output, earlier)
        return
    # Here, because sigpy takes seconds to import.
    from unimri.classical.reconstruction import classical_reconstructor

    tried: dict[float, float] = {}
    with tqdm(desc=f"{settings.method} {anatomy}", unit="weight", disable=None) as bar:

        def attempt(weight: float) -> None:
            reconstructor = classical_reconstructor(settings, weight)
            tried[weight] = round(mean_psnr(reconstructor, slices, numbers, masks, metrics, acquisition), 6)
            bar.set_postfix_str(f"{weight:g}: {tried[weight]:.2f} dB")
            bar.update()

        for weight in (0.0, *settings.weights):
            attempt(weight)
        for _ in range(_EXTENSIONS):
            further = beyond_the_end(tried)
            if further is None:
                break
            attempt(further)
    best = max(tried, key=lambda weight: tried[weight])
    log.info(
        "%s, %s: weight %g, %.2f dB on %d validation slices; weight 0 %.2f dB",
        settings.method,
        anatomy,
        best,
        tried[best],
        len(numbers),
        tried[0.0],
    )
    found = {"weight": best, "psnr_db": tried[best], "tried": list(tried.items())}
    _write(output, Tuned.model_validate(follows_from | found))


def _write(path: Path, tuned: Tuned) -> None:
    with noting(path) as temporary:
        temporary.write_text(as_json(tuned.model_dump()), encoding="utf-8")


def mean_psnr(
    reconstructor: Reconstructor,
    slices: SliceSet,
    numbers: NDArray[np.int64],
    masks: Masks,
    metrics: MetricSettings,
    acquisition: AcquisitionSettings | None = None,
) -> float:
    """Mean PSNR in dB of slices, by their `numbers`.

    Raises
    ------
    UnimriError : when a reconstruction is not finite.
    """
    found = []
    for batch in batches(numbers):
        truth = slices.batch(batch)
        images = reconstruct_slices(reconstructor, truth, batch, masks, acquisition=acquisition)
        if not np.isfinite(images).all():
            raise UnimriError("the reconstruction holds values that are not finite, so it has no PSNR")
        found += [psnr(one, image, metrics.data_range) for one, image in zip(truth, images, strict=True)]
    return float(np.mean(found))


def beyond_the_end(tried: dict[float, float]) -> float | None:
    """The next weight when the best of the grid is at an end that still gains; else None.

    Parameters
    ----------
    tried : PSNR in dB by weight; weight 0 is no part of the grid.
    """
    grid = sorted(weight for weight in tried if weight)
    if not grid:
        return None
    best = max(grid, key=lambda weight: tried[weight])
    if best not in (grid[0], grid[-1]):
        return None
    neighbour = grid[1] if best == grid[0] else grid[-2]
    if tried[best] - tried[neighbour] < _GAIN_DB:
        return None
    # Short, as in the configuration.
    return float(f"{best * best / neighbour:.3g}")
