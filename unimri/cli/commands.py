"""The commands for someone with scans: reconstruct, adapt, models and their adapters, export. Thin."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings

if TYPE_CHECKING:
    from unimri.deploy.reconstruct import Outcome
    from unimri.evaluation.metrics import Score

PANEL = "Your scans"

scans = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="Models: list, show, verify, compare, pack, add, remove.")
aspins = typer.Typer(no_args_is_help=True, help="Adapters of a model: add, list, remove, export.")
scans.add_typer(models, name="models", rich_help_panel=PANEL)
scans.add_typer(aspins, name="aspins", rich_help_panel=PANEL)

ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A model's folder, its one file (*.unimri), or its name; else the default."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; else all.")]
Adapters = Annotated[
    list[Path] | None, typer.Option("--aspin", help="An adapter to use beside the model's own; several may be given.")
]


@scans.command(rich_help_panel=PANEL)
def reconstruct(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A file or folder: k-space or scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write; must not be there.")],
    model: ModelName = None,
    anatomy: Annotated[
        str | None, typer.Option("--anatomy", "-a", help="Whose ASPIN to use; auto: the model chooses.")
    ] = None,
    fallback: Annotated[
        str | None, typer.Option(help="With auto: the anatomy where the input is like none; else it is refused.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A mask, .npy of (N,) or .npz of `unimri masks draw`, instead of what is found.")
    ] = None,
    acceleration: Annotated[
        float | None, typer.Option(min=1.01, help="Of retrospective undersampling; else the model's.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="dicom, nifti, fastmri-h5, ismrmrd or numpy; else told by content.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write slices as 16-bit PNGs.")] = False,
    deidentify: Annotated[bool, typer.Option("--deidentify", help="Leave out who was scanned, and when.")] = False,
    scores: Annotated[
        Path | None, typer.Option(help="CSV of PSNR and SSIM of each slice; volumes by number, not by name.")
    ] = None,
    aspin: Adapters = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Reconstruct k-space, or scans that are undersampled for it, in the format that they came in.

    Where the truth is known, it is compared with zero filling. Ends with status 1 if a volume was left out.
    """
    from unimri.deploy.masks import read_mask
    from unimri.deploy.process import use_machine
    from unimri.deploy.reconstruct import Models, Request
    from unimri.deploy.reconstruct import reconstruct as run
    from unimri.deploy.scores import write_scores

    use_machine(threads)
    wanted = Request(
        anatomy, fallback, acceleration, None if mask is None else read_mask(mask), format_, png, deidentify
    )
    if scores is not None and scores.exists():
        raise UnimriError(f"{scores}: is there already; give another file of scores")
    outcomes = []
    for outcome in run(source, output, Models(model, device, aspin or []), wanted):
        outcomes.append(outcome)
        typer.echo(_line(outcome, deidentify), err=bool(outcome.fault))
    made = [outcome for outcome in outcomes if not outcome.fault]
    typer.echo(_summary(made, len(outcomes), output))
    if scores is not None:
        write_scores(made, scores)
    if len(made) < len(outcomes):
        raise typer.Exit(1)


def _line(outcome: "Outcome", deidentify: bool) -> str:
    # The name may be a patient's; that of a volume which is all of its input is a dot.
    name = f"volume {outcome.number}" if deidentify or outcome.name == "." else outcome.name
    if outcome.fault:
        return f"{name}: left out: {' '.join(outcome.fault.split())}"
    how, choice = "", outcome.choice
    if choice is not None:
        how = f" (fallback: {choice.unlike})" if choice.unlike else f" (auto, {choice.confidence:.0%} sure)"
    used = f"{outcome.acceleration:.2f}x, {outcome.model}, {outcome.anatomy}{how}"
    line = f"{name}: {outcome.slices} slices, {used}"
    return f"{line}: {_gain(outcome.zero_filled, outcome.own)}" if outcome.own else line


def _gain(zero_filled: "tuple[Score, ...]", own: "tuple[Score, ...]") -> str:
    from unimri.deploy.scores import mean_score

    before, after = mean_score(zero_filled), mean_score(own)
    return (
        f"PSNR {before.psnr_db:.2f} -> {after.psnr_db:.2f} dB, SSIM {before.ssim_percent:.2f} -> "
        f"{after.ssim_percent:.2f} % (zero filling -> model)"
    )


def _summary(made: "list[Outcome]", count: int, output: Path) -> str:
    if not made:
        return f"0 of {count} volumes: nothing was written"
    before = tuple(score for outcome in made for score in outcome.zero_filled)
    after = tuple(score for outcome in made for score in outcome.own)
    slices = sum(outcome.slices for outcome in made)
    text = f"{len(made)} of {count} volumes, {slices} slices, written to {output}"
    return f"{text}; mean over {len(after)} slices: {_gain(before, after)}" if len(made) > 1 and after else text


@scans.command(rich_help_panel=PANEL)
def adapt(
    folder: Annotated[Path, typer.Argument(help="Fully sampled scans of three patients or more.")],
    name: Annotated[str, typer.Option("--name", "-n", help="Of the new anatomy, such as shoulder.")],
    model: ModelName = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the adapter and its report.")] = Path(),
    reader: Annotated[
        str | None,
        typer.Option(help="Name of a reader, such as dicom, or its settings as JSON; else told by the files."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the centre that is learnt from, in pixels; else up to 320.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Else as many as make 200 steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Else the model's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the division of patients and of the training.")] = 0,
    simulated: Annotated[bool, typer.Option("--simulated", help="The scans are simulated: reports say so.")] = False,
    add: Annotated[bool, typer.Option("--add", help="Add the adapter to the model, too.")] = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Fit a new anatomy to your own scans: NAME.aspin.safetensors, a few kB, and a short report.

    Interrupted, it ends with status 143, and goes on where it was when the same command is given again.
    """
    from unimri.data.inspect import parse_reader
    from unimri.deploy.adapt import AdaptationSettings, guess_reader
    from unimri.deploy.adapt import adapt as run
    from unimri.deploy.adapters import add_adapter, changeable
    from unimri.deploy.find import find_model
    from unimri.deploy.process import cpu_threads
    from unimri.deploy.scores import named_gain
    from unimri.training.callbacks import Display
    from unimri.training.launch import one_voice

    settings = parse_settings(
        AdaptationSettings,
        {
            "size": size,
            "epochs": epochs,
            "learning_rate": learning_rate,
            "seed": seed,
            "threads": threads or cpu_threads(),
            "device": device,
            "origin": "simulated" if simulated else "real",
        },
        "--",
    )
    base = find_model(model)
    if add:
        # Before anything is fitted.
        changeable(base)
    chosen = guess_reader(folder) if reader is None else parse_reader(reader)
    with one_voice():
        made = run(folder, name, base, chosen, output, settings, typer.echo, [Display(lines=10)])
    typer.echo(named_gain(name, made.scores))
    typer.echo(f"adapter: {made.adapter} ({made.adapter.stat().st_size / 1000:.1f} kB)   report: {made.report}")
    if add:
        add_adapter(base, made.adapter)
        typer.echo(f"added to {base}")


@scans.command(rich_help_panel=PANEL)
def export(
    output: Annotated[Path, typer.Argument(help="File to write: .onnx, or .pt2 for torch.export.")],
    model: ModelName = None,
    anatomy: Annotated[str | None, typer.Option("--anatomy", "-a", help="Whose ASPIN is baked in.")] = None,
    aspin: Adapters = None,
) -> None:
    """Export a model with one anatomy's ASPIN, and check it against PyTorch."""
    from unimri.deploy.export import export as run
    from unimri.deploy.model import load
    from unimri.physics.fourier import PHASE_AXES

    if output.exists():
        raise UnimriError(f"{output}: is there already; remove it, or give another name")
    loaded = load(model, aspins=aspin or [])
    name, own = loaded.known(anatomy), loaded.description
    axis = PHASE_AXES[own.mask.axis]
    typer.echo(run(loaded.network, name, axis, output, own.about_export(name), own.image_size))


@models.command("list")
def list_() -> None:
    """List the models that are found, the default first."""
    from tabulate import tabulate

    from unimri.deploy.card import origin_of
    from unimri.deploy.description import ModelDescription
    from unimri.deploy.find import list_models, search_path

    rows = []
    for path in list_models():
        try:
            own = ModelDescription.load(path)
        except UnimriError as fault:
            typer.echo(" ".join(str(fault).split()), err=True)
            continue
        rows.append([own.name, f"{own.acceleration:g}x", ", ".join(own.anatomies), origin_of(own), path])
    if rows:
        typer.echo(tabulate(rows, ["model", "for", "anatomies", "trained on", "folder"], tablefmt="plain"))
    else:
        typer.echo("no model is there; `make reproduce` in a checkout trains one")
    typer.echo(f"\nlooked in {', '.join(map(str, search_path()))}")


@models.command()
def show(model: Annotated[str | None, typer.Argument(help="Path or name; else the default.")] = None) -> None:
    """Print a model's card: what it is for, how good it is, its conventions and limits."""
    from unimri.deploy.archive import opened
    from unimri.deploy.card import model_card
    from unimri.deploy.description import ModelDescription
    from unimri.deploy.find import find_model

    with opened(find_model(model)) as folder:
        typer.echo(model_card(ModelDescription.load(folder)))


@models.command()
def verify(model: Annotated[str | None, typer.Argument(help="Path or name; else the default.")] = None) -> None:
    """Compare a model's files with their digests, and load it."""
    from unimri.deploy.find import find_model
    from unimri.deploy.model import Model

    path = find_model(model)
    loaded = Model.load(path)
    count = len(loaded.description.files)
    typer.echo(f"{path}: {count} files are those that were made; {', '.join(loaded.anatomies)} load")


@models.command()
def compare(first: str, second: str) -> None:
    """Compare two models: scores, conventions, settings."""
    from unimri.deploy.archive import opened
    from unimri.deploy.compare import comparison
    from unimri.deploy.description import ModelDescription
    from unimri.deploy.find import find_model

    descriptions = []
    for name in (first, second):
        with opened(find_model(name)) as folder:
            descriptions.append(ModelDescription.load(folder))
    typer.echo(comparison(*descriptions))


@models.command("pack")
def pack_model(
    output: Annotated[Path, typer.Argument(help="File to write, *.unimri.")], model: ModelName = None
) -> None:
    """Write a model to one file, to be sent to others."""
    from unimri.deploy.archive import opened, pack
    from unimri.deploy.find import find_model

    if output.exists():
        raise UnimriError(f"{output}: is there already; remove it, or give another name")
    with opened(find_model(model)) as folder:
        pack(folder, output)
    typer.echo(f"{output}: {output.stat().st_size / 1000:.0f} kB")


@models.command("add")
def add_model(model: Annotated[str, typer.Argument(help="A model's folder or one file.")]) -> None:
    """Copy a model to where every command finds it without being told."""
    from unimri.deploy.adapters import install
    from unimri.deploy.archive import opened
    from unimri.deploy.find import find_model, user_models

    with opened(find_model(model)) as folder:
        typer.echo(f"{install(folder, user_models())}: is found by its name from now on")


@models.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="Of a model that was added.")]) -> None:
    """Remove a model that `models add` copied."""
    from unimri.core.artifacts import remove
    from unimri.deploy.description import ModelDescription
    from unimri.deploy.find import user_models

    folder = user_models() / Path(name).name
    ModelDescription.load(folder)
    remove(folder)
    typer.echo(f"{folder}: removed")


@models.command("build", hidden=True)
def build(
    model: Path,
    mask: Path,
    task: Annotated[str, typer.Option(help="Settings as JSON.")],
    scores: Annotated[Path, typer.Option(help="Folder of proposed/ and undersampled/.")],
    output: Annotated[Path, typer.Option(help="What to write.")],
    data: Annotated[list[str] | None, typer.Option(help="ANATOMY=FOLDER; may be given several times.")] = None,
) -> None:
    """Make a model of a finished experiment; the workflow calls it."""
    from unimri.deploy.build import build_model
    from unimri.deploy.task import ModelTask

    pairs = {name: Path(folder) for name, _, folder in (value.partition("=") for value in data or [])}
    build_model(parse_settings(ModelTask, task, "--task"), model, mask, pairs, scores, output)


@aspins.command("add")
def add_aspin(
    adapter: Annotated[Path, typer.Argument(help="NAME.aspin.safetensors, as `unimri adapt` writes it.")],
    model: ModelName = None,
) -> None:
    """Add an adapter to a model. The base and the other ASPINs stay as they are."""
    from unimri.deploy.adapters import add_adapter
    from unimri.deploy.find import find_model

    folder = find_model(model)
    typer.echo(f"{folder}: has {add_adapter(folder, adapter)} from now on")


@aspins.command("list")
def list_aspins(model: ModelName = None) -> None:
    """List a model's anatomies: where each ASPIN comes from, and what it gains."""
    from unimri.deploy.archive import opened
    from unimri.deploy.card import quality_table
    from unimri.deploy.description import ModelDescription
    from unimri.deploy.find import find_model

    with opened(find_model(model)) as folder:
        typer.echo(quality_table(ModelDescription.load(folder), "plain"))


@aspins.command("remove")
def remove(anatomy: str, model: ModelName = None) -> None:
    """Take an anatomy that was added out of a model."""
    from unimri.deploy.adapters import remove_aspin
    from unimri.deploy.find import find_model

    folder = find_model(model)
    remove_aspin(folder, anatomy)
    typer.echo(f"{folder}: has no {anatomy} from now on")


@aspins.command("export")
def export_aspin(
    anatomy: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, *.aspin.safetensors.")],
    model: ModelName = None,
) -> None:
    """Write an anatomy of a model to a file of its own, for others who have the same base."""
    from unimri.deploy.adapters import export_aspin as run
    from unimri.deploy.archive import opened
    from unimri.deploy.find import find_model

    with opened(find_model(model)) as folder:
        run(folder, anatomy, output)
    typer.echo(f"{output}: {output.stat().st_size / 1000:.1f} kB")
