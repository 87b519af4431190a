"""Two models beside each other."""

from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from unimri.deploy.description import AnatomyDescription, ModelDescription
from unimri.models.folder import WEIGHTS


def comparison(first: ModelDescription, second: ModelDescription) -> str:
    """Say whether two models share their base, what each scores, and which conventions and settings differ."""
    same = first.files.get(WEIGHTS) == second.files.get(WEIGHTS)
    names = list(dict.fromkeys([*first.anatomies, *second.anatomies]))
    rows = [[name, *_scores(first.anatomies.get(name)), *_scores(second.anatomies.get(name))] for name in names]
    header = ["anatomy", *(f"{name} ({what})" for name in (first.name, second.name) for what in ("dB", "%"))]
    differing = list(_differences(_conventions(first), _conventions(second)))
    parts = [
        f"{'The same base: adapters' if same else 'Different bases: no adapters'} of one fit the other.",
        tabulate(rows, header, tablefmt="plain", disable_numparse=True),
        "PSNR and SSIM of each on its own test split: they can be compared only where the splits are of the same data.",
        tabulate(differing, ["setting", first.name, second.name], tablefmt="plain", disable_numparse=True)
        if differing
        else "Conventions and settings are the same.",
    ]
    return "\n\n".join(parts)


def _scores(own: AnatomyDescription | None) -> list[str]:
    if own is None or own.quality is None:
        return ["–", "–"]
    return [f"{own.quality.psnr_db:.2f}", f"{own.quality.ssim_percent:.2f}"]


def _conventions(model: ModelDescription) -> dict[str, Any]:
    return {
        "acceleration": model.acceleration,
        "mask": model.mask.model_dump(mode="json"),
        "image_size": model.image_size,
        "scale_factor": {name: own.scale_factor for name, own in model.anatomies.items()},
        "settings": model.settings,
        "versions": model.versions,
    }


def _differences(first: Any, second: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(first, dict) and isinstance(second, dict):
        for name in dict.fromkeys([*first, *second]):
            yield from _differences(first.get(name, "–"), second.get(name, "–"), f"{key}.{name}" if key else str(name))
    elif first != second:
        yield key, str(first), str(second)
