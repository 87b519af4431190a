"""Reconstructing a test split by every method and under every condition, once."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from unimri.core.artifacts import check_noted, sha256
from unimri.core.errors import UnimriError
from unimri.core.machine import use_threads
from unimri.core.provenance import code_digest, versions
from unimri.core.settings import read_settings
from unimri.data.store import PreparedData
from unimri.evaluation.reconstructions import MANIFEST, About, Earlier, Reconstruction, writing_reconstructions
from unimri.models.cascade import D5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, check_inputs, insert_aspin, load_model, read_about
from unimri.models.registry import conditioning_module
from unimri.physics.masks import Masks, load_masks
from unimri.physics.retrospective import Reconstructor, batches, reconstruct_slices, zero_filling
from unimri.physics.sense import Measurement


def reconstruct_test_split(
    anatomy: str,
    data: Path,
    mask: Path,
    reconstructions: list[Reconstruction],
    output: Path,
    checkpoints: Path | None = None,
) -> None:
    """Reconstruct an anatomy's test split, and keep the magnitudes; see `unimri.evaluation.reconstructions`.

    Each volume is reconstructed once a method and condition. What an earlier `output` or `checkpoints` hold, made from
    the same files by the same code, is taken from there: with one more seed only that is reconstructed.

    Parameters
    ----------
    data : folder of prepared data.
    mask : artifact of the trainings' masks.
    reconstructions : what to make, at least one.
    output : the HDF5 file.
    checkpoints : folder that keeps what is done until all of it is, in case the process is killed; None: nothing is.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    trained, slices = load_masks(mask), PreparedData(data).split("test")
    # What is the same by what it follows from is made and kept once.
    origins = list(dict.fromkeys(one.origin for one in reconstructions))
    images = [origins.index(one.origin) for one in reconstructions]
    unique = [reconstructions[images.index(number)] for number in range(len(origins))]
    numbers = [one.numbers(slices) for one in unique]
    masks = [trained if one.mask is None else one.mask.draw(slices.image_size) for one in unique]
    for model, aspin in dict.fromkeys((one.model, one.aspin) for one in reconstructions):
        _check_trained(model, aspin, anatomy, {"mask": mask, f"data/{anatomy}": data / "manifest.csv"})
    digest, files = cache(sha256), [_files(one, anatomy, data, mask) for one in unique]
    keys = [_key(one, drawn, own, digest) for one, drawn, own in zip(unique, masks, files, strict=True)]
    about = About(
        anatomy=anatomy,
        mask=trained.name,
        acceleration=trained.acceleration,
        reconstructions=reconstructions,
        images=images,
        keys=keys,
        inputs={name: digest(path) for own in files for name, path in own.items()},
        versions=versions("PyWavelets", "sigpy"),
    )
    # A network is loaded once, and one at a time.
    of_network: dict[tuple[Path | None, Path | None, tuple[str, ...]], list[int]] = {}
    with (
        Earlier(output, checkpoints) as earlier,
        writing_reconstructions(output, about, [len(chosen) for chosen in numbers], slices.image_size) as datasets,
        tqdm(total=sum(map(len, numbers)), desc=anatomy, unit="slice", disable=None) as bar,
    ):
        for number, one in enumerate(unique):
            if earlier.copy(keys[number], datasets[number]):
                bar.update(len(numbers[number]))
            else:
                of_network.setdefault((one.model, one.aspin, one.added), []).append(number)
        for (model, aspin, added), wanted in of_network.items():
            reconstructor = load_reconstructor(model, anatomy, aspin, added)
            for number in wanted:
                one, done = unique[number], 0
                # Volume by volume where they are whole: no batch has slices of two.
                parts = [own for _, _, own in slices.volumes()] if one.slices is None else [numbers[number]]
                for batch in (batch for part in parts for batch in batches(part)):
                    truth = slices.batch(batch)
                    found = reconstruct_slices(reconstructor, truth, batch, masks[number], one.noise, one.acquisition)
                    datasets[number][done : done + len(batch)] = found
                    done += len(batch)
                    bar.update(len(batch))
                earlier.keep(keys[number], datasets[number])
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)


def network_reconstructor(network: D5C5, anatomy: str) -> Reconstructor:
    """A network with one anatomy's ASPIN, where it has ASPIN."""

    def reconstruct(given: Measurement) -> Tensor:
        image, _ = network.reconstruct(given, anatomy)
        return image

    return reconstruct


def load_reconstructor(
    model: Path | None, anatomy: str, aspin: Path | None = None, added: Sequence[str] = ()
) -> Reconstructor:
    """Load what reconstructs slices of one anatomy.

    Parameters
    ----------
    model, aspin, added : see `unimri.evaluation.reconstructions.Reconstruction`. The name of `aspin`, without its
        ending, is the anatomy that it belongs to.
    anatomy : whose ASPIN is applied when `aspin` is None.

    Raises
    ------
    UnimriError : when the model is missing or damaged, or has no ASPIN and is given one.
    """
    if model is None:
        return zero_filling
    if model.suffix == ".json":
        # Here, because sigpy takes seconds to import.
        from unimri.classical.reconstruction import classical_reconstructor
        from unimri.classical.settings import Tuned

        check_noted(model)
        tuned = read_settings(Tuned, model, "tune again to write it")
        return classical_reconstructor(tuned.settings, tuned.weight)
    network = load_model(model, [*([anatomy] if aspin is None else []), *added])
    if aspin is None:
        return network_reconstructor(network, anatomy)
    if not network.conditioning.adaptable:
        raise UnimriError(f"{model}: a plain network; the ASPIN {aspin} belongs to a universal one")
    insert_aspin(network, aspin.stem, aspin, model)
    return network_reconstructor(network, aspin.stem)


def _files(one: Reconstruction, anatomy: str, data: Path, mask: Path) -> dict[str, Path]:
    """The files that a reconstruction is made from, by their names."""
    paths = [mask] if one.mask is None else []
    if one.model is not None and one.model.suffix == ".json":
        paths.append(one.model)
    elif one.model is not None:
        paths += [one.model / WEIGHTS, one.model / ABOUT]
        paths += [aspin_path(one.model, name) for name in (*([anatomy] if one.aspin is None else []), *one.added)]
        paths += [] if one.aspin is None else [one.aspin]
    # A plain network has no ASPIN; that another file is missing is said by what loads it.
    return {MANIFEST: data / "manifest.csv"} | {path.as_posix(): path for path in paths if path.is_file()}


def _check_trained(model: Path | None, aspin: Path | None, anatomy: str, given: Mapping[str, Path]) -> None:
    """Raise UnimriError when networks, or their ASPINs, were trained with other files than these."""
    if model is not None and model.suffix != ".json":
        for about in (model / ABOUT, (aspin or aspin_path(model, anatomy)).with_suffix(".json")):
            check_inputs(about, given)


def _key(one: Reconstruction, masks: Masks, files: dict[str, Path], digest: Callable[[Path], str]) -> str:
    """Digest of all that images follow from: what is wanted, its files, code and libraries; 32 hexadecimal digits."""
    modules = ["unimri.evaluation.reconstruct"]
    if one.model is not None and one.model.suffix != ".json":
        # A network reaches its conditioning by name.
        modules.append(conditioning_module(read_about(one.model)[1]))
    content = {
        "origin": one.origin,
        # The code of a kind of mask may lie outside this package.
        "masks": hashlib.sha256(masks.masks.tobytes()).hexdigest(),
        "files": {name: digest(path) for name, path in files.items()},
        "code": code_digest(*modules),
        "versions": versions("PyWavelets", "sigpy"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
