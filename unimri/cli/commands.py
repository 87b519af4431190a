"""What a person calls: scans, models and their adapters, masks, the experiment. Thin: parses, calls, reports."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings

# The panels of `unimri --help`.
SCANS, EXPERIMENT = "Your scans", "The experiment"

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="Models: list, show, verify, compare, pack, add, remove.")
aspins = typer.Typer(no_args_is_help=True, help="Adapters of a model: add, list, remove, export.")
masks = typer.Typer(no_args_is_help=True, help="Masks: which phase-encoding lines are kept.")
app.add_typer(models, name="models", rich_help_panel=SCANS)
app.add_typer(aspins, name="aspins", rich_help_panel=SCANS)
app.add_typer(masks, name="masks", rich_help_panel=EXPERIMENT)

DEFAULT = [Path("config.yaml")]

ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A model's folder, its one file (*.unimri), or its name; else the default."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; else all.")]
Adapters = Annotated[
    list[Path] | None, typer.Option("--aspin", help="An adapter to use beside the model's own; several may be given.")
]

Configs = Annotated[
    list[Path] | None, typer.Argument(help="config.yaml and overlays, as given to `snakemake --configfile`.")
]
Json = Annotated[str, typer.Option(help="Settings as JSON.")]
Output = Annotated[Path, typer.Option(help="What to write.")]
Pairs = Annotated[list[str] | None, typer.Option(help="ANATOMY=FOLDER; may be given several times.")]


def pairs(values: list[str] | None) -> dict[str, Path]:
    """Folders by anatomy."""
    found = {}
    for value in values or []:
        name, separator, folder = value.partition("=")
        if not separator:
            raise UnimriError(f"{value!r}: give it as ANATOMY=FOLDER")
        found[name] = Path(folder)
    return found


@app.command(rich_help_panel=SCANS)
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
        str | None,
        typer.Option(
            "--format",
            help="dicom, nifti, hdf5-kspace (with a layout: its settings as JSON), fastmri-h5, ismrmrd, bart or numpy; "
            "else told by content.",
        ),
    ] = None,
    negatives: Annotated[
        Literal["refuse", "clip", "magnitude"],
        typer.Option(help="What negative values of images are: none that could be used, noise below 0, or a sign."),
    ] = "refuse",
    coils: Annotated[
        int | None,
        typer.Option(min=1, help="Compress a scan of more coils to so many virtual ones; else all are used."),
    ] = None,
    complex_: Annotated[
        bool, typer.Option("--complex", help="Write complex images of the coils together, and not the magnitude.")
    ] = False,
    noise_map: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Write beside each reconstruction how much it amplifies noise (g-factor), by so many replicas: 33 "
            "tell it to 12 %.",
        ),
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
    from unimri.core.machine import use_threads
    from unimri.deploy.reconstruct import Models, Request, outcome_line, summary, write_scores
    from unimri.deploy.reconstruct import reconstruct as run
    from unimri.physics.masks import read_mask

    use_threads(threads)
    kept, axis = (None, None) if mask is None else read_mask(mask)
    wanted = Request(
        anatomy,
        fallback,
        acceleration,
        kept,
        axis,
        format_,
        png,
        deidentify,
        negatives,
        coils,
        complex_,
        noise_map or 0,
    )
    if scores is not None and scores.exists():
        raise UnimriError(f"{scores}: is there already; give another file of scores")
    outcomes = []
    tell = partial(typer.echo, err=True)
    for outcome in run(source, output, Models(model, device, aspin or []), wanted, tell):
        outcomes.append(outcome)
        typer.echo(outcome_line(outcome, deidentify), err=bool(outcome.fault))
    typer.echo(summary(outcomes, output))
    if scores is not None:
        write_scores(outcomes, scores)
    if any(outcome.fault for outcome in outcomes):
        raise typer.Exit(1)


@app.command(rich_help_panel=SCANS)
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
    from unimri.core.machine import cpu_threads
    from unimri.data.layouts import parse_reader
    from unimri.deploy.adapt import AdaptationSettings, guess_reader
    from unimri.deploy.adapt import adapt as run
    from unimri.deploy.adapters import add_adapter, changeable
    from unimri.deploy.library import find_model
    from unimri.training.callbacks import Display
    from unimri.training.distributed import one_voice

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
        adapted = run(folder, name, base, chosen, output, settings, typer.echo, [Display(lines=10)])
    typer.echo(adapted)
    size_kb = adapted.adapter.stat().st_size / 1000
    typer.echo(f"adapter: {adapted.adapter} ({size_kb:.1f} kB)   report: {adapted.report}")
    if add:
        add_adapter(base, adapted.adapter)
        typer.echo(f"added to {base}")


@app.command(rich_help_panel=SCANS)
def export(
    output: Annotated[Path, typer.Argument(help="File to write: .onnx, or .pt2 for torch.export.")],
    model: ModelName = None,
    anatomy: Annotated[str | None, typer.Option("--anatomy", "-a", help="Whose ASPIN is baked in.")] = None,
    aspin: Adapters = None,
) -> None:
    """Export a model with one anatomy's ASPIN, and check it against PyTorch."""
    from unimri.deploy.export import export as run
    from unimri.deploy.model import load
    from unimri.physics.mask import PHASE_AXES

    if output.exists():
        raise UnimriError(f"{output}: is there already; remove it, or give another name")
    loaded = load(model, aspins=aspin or [])
    name, own = loaded.checked_anatomy(anatomy), loaded.description
    axis = PHASE_AXES[own.mask.axis]
    typer.echo(run(loaded.network, name, axis, output, own.about_export(name), own.image_size))


@app.command(rich_help_panel=SCANS)
def inspect(
    folder: Path,
    reader: Annotated[str, typer.Option(help="Name of a reader, such as dicom, or its settings as JSON.")],
) -> None:
    """Say what a data set holds, and what would be left out or passed over and why. Prints names of patients and files.

    Ends with status 1 if nothing can be used.
    """
    from unimri.data.layouts import parse_reader
    from unimri.data.prepare import findings_table
    from unimri.data.prepare import inspect as run

    passed: list[str] = []
    found = list(run(folder, parse_reader(reader), passed.append))
    typer.echo("\n".join([findings_table(found), *passed]))
    if not any(one.shape for one in found):
        raise typer.Exit(1)


@app.command(rich_help_panel=SCANS)
def doctor() -> None:
    """Say what is installed, which device there is, how fast it is, and what would be slow and why."""
    from unimri.deploy.doctor import diagnose

    found = diagnose()
    typer.echo(found.text)
    if found.faults:
        raise UnimriError("; ".join(found.faults))


@models.command("list")
def list_() -> None:
    """List the models that are found, the default first."""
    from unimri.deploy.card import models_table
    from unimri.deploy.library import ModelDescription, list_models, search_path

    found = {}
    for path in list_models():
        try:
            found[path] = ModelDescription.load(path)
        except UnimriError as fault:
            typer.echo(" ".join(str(fault).split()), err=True)
    typer.echo(models_table(found) if found else "no model is there; `make reproduce` in a checkout trains one")
    typer.echo(f"\nlooked in {', '.join(map(str, search_path()))}")


@models.command("show")
def show_model(model: Annotated[str | None, typer.Argument(help="Path or name; else the default.")] = None) -> None:
    """Print a model's card: what it is for, how good it is, its conventions and limits."""
    from unimri.deploy.card import model_card
    from unimri.deploy.library import describe

    typer.echo(model_card(describe(model)))


@models.command()
def verify(model: Annotated[str | None, typer.Argument(help="Path or name; else the default.")] = None) -> None:
    """Compare a model's files with their digests, and load it."""
    from unimri.deploy.library import find_model
    from unimri.deploy.model import load

    path = find_model(model)
    loaded = load(path)
    count = len(loaded.description.files)
    typer.echo(f"{path}: {count} files are those that were made; {', '.join(loaded.anatomies)} load")


@models.command()
def compare(first: str, second: str) -> None:
    """Compare two models: scores, conventions, settings."""
    from unimri.deploy.card import comparison
    from unimri.deploy.library import describe

    typer.echo(comparison(describe(first), describe(second)))


@models.command("pack")
def pack_model(
    output: Annotated[Path, typer.Argument(help="File to write, *.unimri.")], model: ModelName = None
) -> None:
    """Write a model to one file, to be sent to others."""
    from unimri.deploy.library import opened, pack

    with opened(model) as folder:
        pack(folder, output)
    typer.echo(f"{output}: {output.stat().st_size / 1000:.0f} kB")


@models.command("add")
def add_model(model: Annotated[str, typer.Argument(help="A model's folder or one file.")]) -> None:
    """Copy a model to where every command finds it without being told."""
    from unimri.deploy.library import install, opened, user_models

    with opened(model) as folder:
        typer.echo(f"{install(folder, user_models())}: is found by its name from now on")


@models.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="Of a model that was added.")]) -> None:
    """Remove a model that `models add` copied."""
    from unimri.deploy.library import uninstall

    typer.echo(f"{uninstall(name)}: removed")


@aspins.command("add")
def add_aspin(
    adapter: Annotated[Path, typer.Argument(help="NAME.aspin.safetensors, as `unimri adapt` writes it.")],
    model: ModelName = None,
) -> None:
    """Add an adapter to a model. The base and the other ASPINs stay as they are."""
    from unimri.deploy.adapters import add_adapter
    from unimri.deploy.library import find_model

    folder = find_model(model)
    typer.echo(f"{folder}: has {add_adapter(folder, adapter)} from now on")


@aspins.command("list")
def list_aspins(model: ModelName = None) -> None:
    """List a model's anatomies: where each ASPIN comes from, and what it gains."""
    from unimri.deploy.card import quality_table
    from unimri.deploy.library import describe

    typer.echo(quality_table(describe(model), "plain"))


@aspins.command("remove")
def remove(anatomy: str, model: ModelName = None) -> None:
    """Take an anatomy that was added out of a model."""
    from unimri.deploy.adapters import remove_aspin
    from unimri.deploy.library import find_model

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
    from unimri.deploy.library import opened

    with opened(model) as folder:
        run(folder, anatomy, output)
    typer.echo(f"{output}: {output.stat().st_size / 1000:.1f} kB")


@masks.command("draw")
def draw_mask(acceleration: float, settings: Json, output: Output) -> None:
    """Draw the masks of one acceleration."""
    from unimri.physics.masks import MaskTask, draw_masks, save_masks

    task = parse_settings(MaskTask, settings, "--settings")
    save_masks(draw_masks(task.mask, task.size, acceleration), output)


@masks.command("picture")
def picture_mask(mask: Path, output: Output) -> None:
    """Make a picture of masks."""
    from unimri.evaluation.figures import picture_masks

    picture_masks(mask, output)


@app.command(rich_help_panel=EXPERIMENT)
def show(config: Configs = None) -> None:
    """Print Table 1 of a finished experiment, and say where everything lies."""
    from unimri.config import load_config
    from unimri.evaluation.tables import show_tables
    from unimri.report.experiment import made_from

    loaded = load_config(*(config or DEFAULT))
    typer.echo(show_tables(loaded.results, **made_from(loaded.model_dump(mode="json"))))


@app.command(rich_help_panel=EXPERIMENT)
def status(config: Configs = None) -> None:
    """Say which trainings are done, stale, under way with how far, or waiting, and which files are gone or changed.

    Ends with status 1 if any is.
    """
    from collections import Counter

    from tabulate import tabulate

    from unimri.config import load_config
    from unimri.workflow.plan import WorkflowPlan
    from unimri.workflow.status import Standing, faults, snakemake_plan, standings

    plan, files = WorkflowPlan(load_config(*(config or DEFAULT))), snakemake_plan(config or DEFAULT)
    found = list(standings(plan, files))
    typer.echo(tabulate(found, [*Standing._fields], tablefmt="plain", disable_numparse=True))
    counts = Counter(standing.state for standing in found)
    typer.echo(f"\n{len(found)} trainings: {', '.join(f'{number} {state}' for state, number in counts.items())}")
    if files is None:
        typer.echo("what Snakemake would make again is not known: it cannot be asked; `snakemake -n` says why")
    elif pending := Counter(file.rule for file in files.values() if file.pending):
        rules = ", ".join(f"{rule} ({number})" for rule, number in pending.items())
        typer.echo(f"files that `snakemake` makes or makes again, by rule: {rules}")
    wrong = faults(plan, files)
    for line in wrong:
        typer.echo(f"unimri: {' '.join(line.split())}", err=True)
    if wrong:
        raise typer.Exit(1)


@app.command(rich_help_panel=EXPERIMENT)
def reuse(
    source: Annotated[Path, typer.Argument(help="Folder in which another checkout ran snakemake.")],
    config: Configs = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of linking; also what is linked by now.")] = False,
) -> None:
    """Reuse what another checkout has finished: `snakemake` makes only what differs. Writes nothing there."""
    from tabulate import tabulate

    from unimri.config import load_config
    from unimri.workflow.reuse import reuse as run
    from unimri.workflow.reuse import total

    loaded = load_config(*(config or DEFAULT))
    found = run(source, Path(), loaded.results, loaded.private, copy)
    header = ["folder", "files", "of jobs", "jobs here already", "jobs made here"]
    typer.echo(tabulate(found, header, tablefmt="plain"))
    whole = total(found)
    typer.echo(
        f"\n{'Copied' if copy else 'Linked'} {whole.files} files of {whole.jobs} jobs; {whole.present} jobs were here "
        f"already, and {whole.kept} made here were left as they are. `snakemake -n` shows what is left to run."
    )
