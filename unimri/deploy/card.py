"""A model in words, generated from its description alone: its card, tables of models, two beside each other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from unimri.core.artifacts import write_text
from unimri.core.errors import printable
from unimri.core.text import decimals
from unimri.deploy.library import AnatomyDescription, ChoiceQuality, ModelDescription, digests

CARD = "README.md"


def write_texts(folder: Path, description: ModelDescription) -> None:
    """Write a model's card and its description with the digests of the files, ASPINs of no anatomy left out.

    The description comes last; when it cannot be written, the card is as it was.
    """
    card = folder / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else None
    try:
        write_text(card, model_card(description))
        files = {
            name: digest
            for name, digest in digests(folder).items()
            if not name.startswith("aspin/") or Path(name).stem in description.anatomies
        }
        description.model_copy(update={"files": files}).save(folder)
    except BaseException:
        if before is not None:
            write_text(card, before)
        raise


def model_card(model: ModelDescription) -> str:
    """What the model is, what it is for and not for, how good it is, and on what: markdown."""
    parts = [
        f"# {model.name}",
        f"A universal network that reconstructs {_list(list(model.anatomies))} from {model.acceleration:g}x "
        "undersampled Cartesian k-space, after Liu, Wang, Liu and Zhou, Universal Undersampled MRI Reconstruction "
        "(MICCAI 2021). One base serves all anatomies; each has its own instance normalisation (ASPIN).",
        "## Quality",
        _origin(model),
        quality_table(model),
        "Means over the slices of the test split, of zero filling and of the model, at "
        f"{model.image_size} x {model.image_size} pixels; {model.metrics.description}.",
        *([] if model.choice is None else [_choice(model.choice)]),
        "## Conventions",
        _conventions(model),
        "## Intended use",
        "Research on reconstruction of undersampled MRI: to reconstruct scans like those that it was trained on, to "
        "compare methods, and to adapt to a new anatomy from a few fully sampled patients (`unimri adapt`).",
        "## Limits",
        _limits(model),
        "## Origin",
        f"Trained by unimri {model.versions.get('unimri', '?')} with torch {model.versions.get('torch', '?')}. "
        "`description.json` holds the whole configuration and the SHA-256 of every file; `model.json` what the base "
        "was trained from. `unimri models verify` compares them.",
    ]
    return "\n\n".join(parts) + "\n"


def origin_of(model: ModelDescription) -> str:
    """What it was trained on: simulated scans, real ones, or both."""
    origins = sorted({own.origin for own in model.anatomies.values()})
    return f"{' and '.join(origins)} scans"


def _origin(model: ModelDescription) -> str:
    origins = {own.origin for own in model.anatomies.values()}
    if origins == {"simulated"}:
        return "**All data are simulated**: these numbers are of simulated scans and say nothing of real ones."
    if origins == {"real"}:
        return "All data are real scans."
    named = [name for name, own in model.anatomies.items() if own.origin == "simulated"]
    return f"**Simulated data**: {_list(named)}. The others are real scans."


def _choice(found: ChoiceQuality) -> str:
    return (
        f"`--anatomy auto` chose the right ASPIN for {found.right} of {found.volumes} test volumes, files at their own "
        f"size, and refused {found.refused}. Where it chose, PSNR was {decimals(found.loss_db)} dB below knowing the "
        f"anatomy in the mean and {decimals(found.largest_loss_db)} dB at most. With their own ASPIN taken away, "
        f"{found.strangers_refused} of the {found.volumes} were found to be like none of the others. `choice.csv` has "
        "them one by one."
    )


def quality_table(model: ModelDescription, layout: str = "pipe") -> str:
    """What each anatomy's ASPIN comes from and scores, as a table in one of tabulate's layouts."""
    header = ["Anatomy", "Data", "Part", "Training patients", "Test slices", "PSNR (dB)", "SSIM (%)"]
    rows = [
        [name, own.origin, _role(own), str(own.training_patients), *_scores(own)]
        for name, own in model.anatomies.items()
    ]
    return str(tabulate(rows, header, tablefmt=layout, disable_numparse=True))


def models_table(models: Mapping[Path, ModelDescription]) -> str:
    """What each model is for and was trained on, and the folder that it lies in."""
    rows = [
        [own.name, f"{own.acceleration:g}x", ", ".join(own.anatomies), origin_of(own), printable(str(path))]
        for path, own in models.items()
    ]
    return str(
        tabulate(rows, ["model", "for", "anatomies", "trained on", "folder"], tablefmt="plain", disable_numparse=True)
    )


def _role(own: AnatomyDescription) -> str:
    if own.adaptation is not None:
        return "added: ASPIN alone, fitted to a user's scans"
    return {"base": "base", "new": "added: ASPIN alone"}[own.role]


def _scores(own: AnatomyDescription) -> list[str]:
    found = own.quality
    if found is None:
        return ["–", "–", "–"]
    return [
        f"{found.slices} of {found.patients} patients",
        f"{decimals(found.zero_filled_psnr_db)} → {decimals(found.psnr_db)}",
        f"{decimals(found.zero_filled_ssim_percent)} → {decimals(found.ssim_percent)}",
    ]


def _conventions(model: ModelDescription) -> str:
    settings = model.mask.model_dump()
    mask = ", ".join(f"{key} {value}" for key, value in settings.items() if key not in ("name", "kind"))
    factors = ", ".join(f"{name} {own.scale_factor:.3f}" for name, own in model.anatomies.items())
    return "\n".join(
        [
            f"- Mask: {settings['kind']} ({mask}); phase encoding steps through {model.mask.axis}. For another number "
            "of lines it is drawn anew by the same rule.",
            "- k-space: centred (DC at n // 2), orthonormal; measured lines stay exactly as they were measured.",
            "- Intensity: a volume is divided by the largest magnitude of its zero-filled images times a factor "
            f"({factors}), and multiplied again on output.",
        ]
    )


def _limits(model: ModelDescription) -> str:
    simulated = [name for name, own in model.anatomies.items() if own.origin == "simulated"]
    lines = [
        "- Not a medical device; not for diagnosis. Structures that were not measured can be invented or lost.",
        f"- Trained for {model.acceleration:g}x with its own mask: other accelerations and masks lose quality.",
        "- Trained on magnitude images, whose phase is zero, of one coil. One constant phase of each slice and "
        "coil is taken off and put back; a phase that varies, and coils that are reconstructed one by one, are unlike "
        "what it learnt.",
        f"- Trained at {model.image_size} x {model.image_size} pixels. Other sizes work; how well is for their user "
        "to check.",
    ]
    if simulated:
        lines.insert(
            1, f"- Knows {_list(simulated)} from simulations alone: for trying the software, not for real scans."
        )
    return "\n".join(lines)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def comparison(first: ModelDescription, second: ModelDescription) -> str:
    """Say whether two models share their base, what each scores, and which conventions and settings differ."""
    same = first.base_sha256 == second.base_sha256
    names = list(dict.fromkeys([*first.anatomies, *second.anatomies]))
    rows = [[name, *_two_scores(first.anatomies.get(name)), *_two_scores(second.anatomies.get(name))] for name in names]
    header = ["anatomy", *(f"{name} ({what})" for name in (first.name, second.name) for what in ("dB", "%"))]
    differing = list(_differences(_compared(first), _compared(second)))
    parts = [
        f"{'The same base: adapters' if same else 'Different bases: no adapters'} of one fit the other.",
        tabulate(rows, header, tablefmt="plain", disable_numparse=True),
        "PSNR and SSIM of each on its own test split: they can be compared only where the splits are of the same data.",
        tabulate(differing, ["setting", first.name, second.name], tablefmt="plain", disable_numparse=True)
        if differing
        else "Conventions and settings are the same.",
    ]
    return "\n\n".join(parts)


def _two_scores(own: AnatomyDescription | None) -> list[str]:
    if own is None or own.quality is None:
        return ["–", "–"]
    return [decimals(own.quality.psnr_db), decimals(own.quality.ssim_percent)]


def _compared(model: ModelDescription) -> dict[str, Any]:
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
