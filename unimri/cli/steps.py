"""The command line: one command for each thing that a rule or a person does. Thin: parses, calls, reports faults."""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unimri.cli.commands import PANEL as SCANS
from unimri.cli.commands import scans
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings, read_settings

# The panels of `unimri --help`, in their order.
EXPERIMENT, STEPS = "The experiment", "Steps of the workflow"


class _ByPanel(TyperGroup):
    """Lists commands panel by panel: what a person calls stands before what rules call."""

    def list_commands(self, *context: Any) -> list[str]:
        panels, last = [SCANS, EXPERIMENT, STEPS], ("inspect", "doctor")
        return sorted(
            super().list_commands(*context),
            key=lambda name: (panels.index(getattr(self.commands[name], "rich_help_panel", STEPS)), name in last),
        )


app = typer.Typer(cls=_ByPanel, no_args_is_help=True, help="Universal undersampled MRI reconstruction.")
masks = typer.Typer(no_args_is_help=True, help="Masks: which phase-encoding lines are kept.")
app.add_typer(scans)
app.add_typer(masks, name="masks", rich_help_panel=EXPERIMENT)

# Beside the tables: which anatomies in them are simulated and which real.
ORIGINS = "origins.json"

Json = Annotated[str, typer.Option(help="Settings as JSON.")]
Output = Annotated[Path, typer.Option(help="What to write.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Score at most so many slices, evenly spaced.")]
Pairs = Annotated[list[str] | None, typer.Option(help="ANATOMY=FOLDER; may be given several times.")]


def _pairs(values: list[str] | None) -> dict[str, Path]:
    pairs = {}
    for value in values or []:
        name, separator, folder = value.partition("=")
        if not separator:
            raise UnimriError(f"{value!r}: give it as ANATOMY=FOLDER")
        pairs[name] = Path(folder)
    return pairs


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UnimriError(f"{option}: {text!r} is no list of numbers; give it as 4,6") from None


@app.command(rich_help_panel=STEPS)
def simulate(settings: Json, seed: int, output: Output) -> None:
    """Write a simulated data set in a real one's format."""
    from unimri.data.simulate.settings import SimulationSettings
    from unimri.data.simulate.simulate import simulate as run

    run(parse_settings(SimulationSettings, settings, "--settings"), output, seed)


@app.command(rich_help_panel=STEPS)
def index(anatomy: str, folder: Path, seed: int, settings: Json, output: Output) -> None:
    """List the scans of a data set by shard. The lists join keys to names: keep their folder private."""
    from unimri.data.index import IndexTask, index_scans, save_index

    save_index(index_scans(anatomy, folder, parse_settings(IndexTask, settings, "--settings"), seed), output)


@app.command(rich_help_panel=STEPS)
def shard(index: Path, folder: Path, settings: Json, output: Output) -> None:
    """Read, fit and scale the scans of one shard, and write it as HDF5."""
    from unimri.data.index import Index
    from unimri.data.prepare import ShardTask, prepare_shard

    prepare_shard(Index.load(index), folder, parse_settings(ShardTask, settings, "--settings"), output)


@app.command(rich_help_panel=STEPS)
def manifest(shards: list[Path], seed: int, settings: Json, output: Output) -> None:
    """Divide the patients of all shards (their JSON files) into splits, and write the manifest."""
    from unimri.data.prepare import finish
    from unimri.data.shard import ShardContent
    from unimri.data.split import Fractions

    contents = {path.with_suffix(".h5").name: ShardContent.load(path) for path in shards}
    finish(contents, parse_settings(Fractions, settings, "--settings"), seed, output)


@app.command(rich_help_panel=STEPS)
def prepare(anatomy: str, folder: Path, seed: int, settings: Json, output: Output) -> None:
    """Do all of that in one go: find, read, fit, scale and split scans, and write HDF5 shards with a manifest."""
    from unimri.data.prepare import PreparationTask
    from unimri.data.prepare import prepare as run

    run(anatomy, folder, parse_settings(PreparationTask, settings, "--settings"), output, seed)


@app.command(rich_help_panel=SCANS)
def inspect(
    folder: Path,
    reader: Annotated[str, typer.Option(help="Name of a reader, such as dicom, or its settings as JSON.")],
) -> None:
    """Say what a data set holds, and what would be left out and why. Prints names of patients and files."""
    from tabulate import tabulate

    from unimri.data.inspect import inspect as run
    from unimri.data.inspect import parse_reader

    findings = list(run(folder, parse_reader(reader)))
    rows = [
        (
            found.patient,
            found.volume,
            found.files,
            *(found.shape or ("", "", "")),
            found.orientation,
            found.largest,
            found.fault,
        )
        for found in findings
    ]
    header = [
        "patient",
        "volume",
        "files",
        "slices",
        "rows",
        "columns",
        "orientation",
        "largest value",
        "left out because",
    ]
    usable = [found for found in findings if found.shape is not None]
    typer.echo(tabulate(rows, header, tablefmt="plain", floatfmt="g", disable_numparse=[0, 1, 8]))
    typer.echo(
        f"\n{len({found.patient for found in usable})} patients, {len(usable)} volumes, "
        f"{sum(found.shape[0] for found in usable if found.shape)} slices; {len(findings) - len(usable)} left out"
    )


@masks.command("draw")
def draw_mask(acceleration: float, settings: Json, output: Output) -> None:
    """Draw the masks of one acceleration."""
    from unimri.physics.masks import MaskTask, draw_masks, save_masks

    task = parse_settings(MaskTask, settings, "--settings")
    save_masks(draw_masks(task.mask, task.size, acceleration), output)


@masks.command("picture")
def picture_mask(mask: Path, output: Output) -> None:
    """Make a picture of masks."""
    from unimri.evaluation.figures import mask_figure
    from unimri.physics.masks import load_masks

    drawn = load_masks(mask)
    mask_figure(drawn, f"{drawn.acceleration:g}x: {drawn.achieved_acceleration:.2f}x kept", output)


@masks.command("calibrate")
def calibrate_masks(
    data: Pairs = None,
    target: Annotated[
        Path | None,
        typer.Option(help="CSV of zero filling's PSNR, acceleration and anatomies as columns; else the paper's row."),
    ] = None,
    accelerations: Annotated[str | None, typer.Option(help="Such as 4,6; else the target's.")] = None,
    sigmas: Annotated[
        str | None, typer.Option(help="Standard deviations to try, such as 0.08,0.09; else 0.03 to 0.30 by 0.01.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of each density.")] = 100,
    slices: Annotated[int, typer.Option(min=1, help="Training slices of each anatomy, at most.")] = 24,
    mask: Annotated[
        str, typer.Option(help="What else the Gaussian masks have, as JSON: centre_lines, floor, keep_dc, axis.")
    ] = "{}",
    output: Annotated[Path | None, typer.Option(help="CSV of everything that was tried.")] = None,
) -> None:
    """Find the Gaussian mask whose zero filling comes closest to a published row, and say how close."""
    from unimri.evaluation.calibration import SIGMAS, calibrate, read_target, report
    from unimri.evaluation.text import write_csv
    from unimri.physics.masks import Gaussian1D

    found = calibrate(
        _pairs(data),
        read_target(target),
        parse_settings(Gaussian1D, mask, "--mask"),
        SIGMAS if sigmas is None else _numbers(sigmas, "--sigmas"),
        seeds,
        None if accelerations is None else _numbers(accelerations, "--accelerations"),
        slices,
    )
    if output is not None:
        write_csv(output, found.tried)
    typer.echo(report(found))


@app.command(rich_help_panel=STEPS)
def train(
    task: Json,
    mask: Path,
    output: Output,
    checkpoints: Annotated[Path, typer.Option(help="Folder of resumable checkpoints.")],
    data: Pairs = None,
    base: Annotated[Path | None, typer.Option(help="Universal model that S3 and S4 start from.")] = None,
    teacher: Pairs = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share each batch; torchrun's own go first.")
    ] = 1,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="How much work may be lost.")] = 10,
    logger: Annotated[str | None, typer.Option(help="tensorboard, mlflow or wandb.")] = None,
    picture_epochs: Annotated[int, typer.Option(min=1, help="The logger gets pictures every so many epochs.")] = 1,
) -> None:
    """Run one training: S1, Shared, S2, S3 or S4. Ends with status 143 when a signal interrupts it."""
    from unimri.training.callbacks import Display
    from unimri.training.engine import Callback
    from unimri.training.files import Files
    from unimri.training.launch import is_launched, launch, one_voice
    from unimri.training.run import run_training
    from unimri.training.settings import Running, TrainingTask

    settings = parse_settings(TrainingTask, task, "--task")
    if processes > 1 and not is_launched():
        sys.exit(launch(processes, settings.threads, sys.argv[1:]))
    files = Files(_pairs(data), mask, base, _pairs(teacher))
    callbacks: list[Callback] = [Display()]
    running = parse_settings(Running, {"logger": logger, "picture_epochs": picture_epochs}, "--logger")
    if running.logger is not None:
        from unimri.training.callbacks import Logging

        learns_from = "-".join(files.data)
        folder, title = output / "tensorboard" / learns_from, f"{output} {learns_from}"
        callbacks.append(Logging(running.logger, folder, title, running.picture_epochs))
    with one_voice():
        run_training(settings, files, output, checkpoints, callbacks, checkpoint_minutes)


@app.command(rich_help_panel=STEPS)
def evaluate(
    method: str,
    seed: Annotated[int, typer.Argument(help="Of the method's training.")],
    anatomy: str,
    data: Path,
    mask: Path,
    settings: Json,
    output: Output,
    model: Path | None = None,
    aspin: Annotated[Path | None, typer.Option(help="An ASPIN that lies apart from its model.")] = None,
) -> None:
    """Score a method on the test split of an anatomy, slices and volumes; zero filling without a model."""
    from unimri.evaluation.metrics import MetricSettings
    from unimri.evaluation.run import evaluate as run

    metrics = parse_settings(MetricSettings, settings, "--settings")
    run(method, seed, anatomy, data, mask, model, metrics, output, aspin)


@app.command(rich_help_panel=STEPS)
def tune(
    method: str,
    anatomy: str,
    data: Path,
    mask: Path,
    output: Output,
    settings: Json = "{}",
    metrics: Annotated[str, typer.Option(help="Settings of the metrics as JSON.")] = "{}",
    slices: Annotated[int, typer.Option(min=1, help="Validation slices to tune on, at most.")] = 24,
) -> None:
    """Choose the weight of a classical method's penalty on validation: total_variation or wavelet."""
    from unimri.classical.settings import ClassicalSettings
    from unimri.classical.tuning import tune as run
    from unimri.evaluation.metrics import MetricSettings

    chosen = parse_settings(type(ClassicalSettings().of(method)), settings, "--settings")
    run(chosen, anatomy, data, mask, parse_settings(MetricSettings, metrics, "--metrics"), slices, output)


@app.command(rich_help_panel=STEPS)
def robustness(
    anatomy: str,
    acceleration: Annotated[float, typer.Argument(help="Of the methods' trainings.")],
    seed: int,
    data: Path,
    conditions: Json,
    models: Json,
    settings: Json,
    output: Output,
    slices: Limit = None,
) -> None:
    """Score methods on samplings and noise that they were not trained for."""
    from unimri.evaluation.metrics import MetricSettings
    from unimri.evaluation.robustness import Condition, score_conditions

    tried = parse_settings(dict[str, Condition], conditions, "--conditions")
    folders = parse_settings(dict[str, Path | None], models, "--models")
    metrics = parse_settings(MetricSettings, settings, "--settings")
    score_conditions(anatomy, acceleration, seed, data, tried, folders, slices, metrics, output)


@app.command(rich_help_panel=STEPS)
def aspin_matrix(
    anatomy: str,
    seed: int,
    data: Path,
    mask: Path,
    model: Path,
    aspin: Annotated[list[str], typer.Option(help="Anatomy whose ASPIN to try; may be given several times.")],
    settings: Json,
    output: Output,
    slices: Limit = None,
) -> None:
    """Score an anatomy with each anatomy's ASPIN."""
    from unimri.evaluation.metrics import MetricSettings
    from unimri.evaluation.robustness import score_aspins

    metrics = parse_settings(MetricSettings, settings, "--settings")
    score_aspins(anatomy, seed, data, mask, model, aspin, slices, metrics, output)


@app.command(rich_help_panel=STEPS)
def forgetting(
    seed: int,
    mask: Path,
    model: Path,
    settings: Json,
    output: Output,
    data: Pairs = None,
    new: Annotated[list[str] | None, typer.Option(help="Anatomy that S4 added; may be given several times.")] = None,
    finetuned: Pairs = None,
) -> None:
    """Compare reconstructions of old anatomies (--data) before and after new ones were learnt."""
    from unimri.evaluation.forgetting import score_forgetting
    from unimri.evaluation.metrics import MetricSettings

    metrics = parse_settings(MetricSettings, settings, "--settings")
    score_forgetting(seed, _pairs(data), mask, model, new or [], _pairs(finetuned), metrics, output)


@app.command(rich_help_panel=STEPS)
def study_table(
    study: str,
    scores: list[Path],
    anatomy: Annotated[list[str], typer.Option(help="Column of the table; may be given several times.")],
    output: Output,
) -> None:
    """Write the table of a study: robustness, aspin_matrix, adaptation, forgetting or masks."""
    from unimri.evaluation.study_tables import StudyName, write_study_table

    name: StudyName = parse_settings(StudyName, json.dumps(study), "STUDY")  # type: ignore[arg-type]
    write_study_table(name, scores, anatomy, output)


@app.command(rich_help_panel=STEPS)
def study_picture(study: str, table: Path, acceleration: float, title: str, output: Output) -> None:
    """Draw one acceleration of the table of a study: adaptation or aspin_matrix."""
    from unimri.evaluation.study_pictures import PictureName, draw_study

    name: PictureName = parse_settings(PictureName, json.dumps(study), "STUDY")  # type: ignore[arg-type]
    draw_study(name, table, acceleration, title, output)


@app.command(rich_help_panel=STEPS)
def picture(
    anatomy: str, data: Path, mask: Path, models: Json, settings: Json, simulated: bool, output: Output
) -> None:
    """Draw one test slice as every method reconstructs it, with error maps."""
    from unimri.evaluation.metrics import MetricSettings
    from unimri.evaluation.pictures import picture_methods

    folders = parse_settings(dict[str, Path | None], models, "--models")
    metrics = parse_settings(MetricSettings, settings, "--settings")
    picture_methods(anatomy, data, mask, folders, metrics, simulated, output)


@app.command(rich_help_panel=STEPS)
def curves(histories: Json, title: str, output: Output) -> None:
    """Draw the training curves of all stages side by side."""
    from unimri.evaluation.curves import draw_curves

    draw_curves(parse_settings(dict[str, dict[str, Path]], histories, "--histories"), title, output)


@app.command(rich_help_panel=STEPS)
def contact_sheet(data: Path, output: Output) -> None:
    """Draw the middle slices of an anatomy's prepared volumes."""
    from unimri.evaluation.contact import picture_data

    picture_data(data, output)


@app.command(rich_help_panel=STEPS)
def data_report(data: Pairs, origins: Json, output: Output, figure: Output) -> None:
    """Count what was prepared, beside the paper's counts, say what was left out, and draw histograms."""
    from unimri.evaluation.data_report import write_data_report

    write_data_report(_pairs(data), parse_settings(dict[str, str], origins, "--origins"), output, figure)


@app.command(rich_help_panel=STEPS)
def tables(
    scores: list[Path],
    anatomies: Json,
    network: Json,
    settings: Json,
    statistics: Json,
    layer: Annotated[int, typer.Option(help="That Proposed distils.")],
    output: Output,
) -> None:
    """Write Tables 1 and S2, comparisons, conventions, the paper's claims and the parameter table."""
    from unimri.core.artifacts import write_json
    from unimri.evaluation.metrics import MetricSettings
    from unimri.evaluation.parameters import parameter_table, write_parameters
    from unimri.evaluation.statistics import StatisticsSettings
    from unimri.evaluation.tables import write_tables
    from unimri.models.cascade import D5C5
    from unimri.models.folder import base_tensors
    from unimri.models.registry import NetworkSettings

    origins = parse_settings(dict[str, str], anatomies, "--anatomies")
    counted = D5C5(parse_settings(NetworkSettings, network, "--network"), "aspin", ["one"])
    base = sum(tensor.numel() for tensor in base_tensors(counted).values())
    aspin = counted.conditioning.numbers
    metrics = parse_settings(MetricSettings, settings, "--settings")
    resampling = parse_settings(StatisticsSettings, statistics, "--statistics")
    parameters = parameter_table(base, aspin, len(origins))
    write_tables(scores, origins, metrics, resampling, parameters, layer, output)
    write_parameters(base, aspin, len(origins), output)
    write_json(output / ORIGINS, origins)


@app.command(rich_help_panel=STEPS)
def report(results: Path, config: Json, output: Output) -> None:
    """Write one page with all that a finished experiment has: tables, figures, cost, provenance."""
    from unimri.report.page import write_report

    write_report(results, parse_settings(dict[str, Any], config, "--config"), output)


@app.command(rich_help_panel=EXPERIMENT)
def show(
    config: Annotated[
        list[Path] | None, typer.Argument(help="config.yaml and overlays, as given to `snakemake --configfile`.")
    ] = None,
) -> None:
    """Print Table 1 of a finished experiment, and say where everything lies."""
    from unimri.config import load_config
    from unimri.evaluation.claims_report import read_summary
    from unimri.evaluation.tables import format_table1_for_terminal

    loaded = load_config(*(config or [Path("config.yaml")]))
    table = loaded.results / "tables" / "table1.csv"
    # What the table was made from, and not what the configuration says by now.
    origins = loaded.results / "tables" / ORIGINS
    if not table.is_file() or not origins.is_file():
        raise UnimriError(
            f"{table}: not there yet; run `make reproduce`, or `snakemake` with the same configuration, first"
        )
    typer.echo(
        format_table1_for_terminal(table.parent, read_settings(dict[str, str], origins, "make the tables again"))
    )
    typer.echo(f"\n{read_summary(table.parent)} {loaded.results}/tables/claims.md says which.")
    typer.echo(
        f"\nTables: {loaded.results}/tables   figures: {loaded.results}/figures   "
        f"models: {loaded.results}/*x/seed*   scores a slice: {loaded.results}/*x/seed*/metrics"
    )


@app.command(rich_help_panel=EXPERIMENT)
def status(
    config: Annotated[
        list[Path] | None, typer.Argument(help="config.yaml and overlays, as given to `snakemake --configfile`.")
    ] = None,
) -> None:
    """Say which trainings are done, stale, under way with how far, or waiting, from the artifacts alone."""
    from collections import Counter

    from tabulate import tabulate

    from unimri.config import load_config
    from unimri.workflow.plan import WorkflowPlan
    from unimri.workflow.status import Standing, standings

    found = list(standings(WorkflowPlan(load_config(*(config or [Path("config.yaml")])))))
    typer.echo(tabulate(found, [*Standing._fields], tablefmt="plain", disable_numparse=True))
    counts = Counter(standing.state for standing in found)
    typer.echo(f"\n{len(found)} trainings: {', '.join(f'{number} {state}' for state, number in counts.items())}")


@app.command(rich_help_panel=EXPERIMENT)
def reuse(
    source: Annotated[Path, typer.Argument(help="Folder in which another checkout ran snakemake.")],
    config: Annotated[
        list[Path] | None, typer.Argument(help="config.yaml and overlays, as given to `snakemake --configfile`.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of linking; also what is linked by now.")] = False,
) -> None:
    """Reuse what another checkout has finished: `snakemake` makes only what differs. Writes nothing there."""
    from tabulate import tabulate

    from unimri.config import load_config
    from unimri.workflow.reuse import reuse as run
    from unimri.workflow.reuse import total

    loaded = load_config(*(config or [Path("config.yaml")]))
    found = run(source, Path(), loaded.results, loaded.private, copy)
    header = ["folder", "files", "of jobs", "jobs here already", "jobs made here"]
    typer.echo(tabulate(found, header, tablefmt="plain"))
    whole = total(found)
    typer.echo(
        f"\n{'Copied' if copy else 'Linked'} {whole.files} files of {whole.jobs} jobs; {whole.present} jobs were here "
        f"already, and {whole.kept} made here were left as they are. `snakemake -n` shows what is left to run."
    )


@app.command(rich_help_panel=SCANS)
def doctor() -> None:
    """Say what is installed, which device there is, how fast it is, and what would be slow and why."""
    from unimri.deploy.doctor import diagnose

    found = diagnose()
    typer.echo(found.text)
    if found.faults:
        raise UnimriError("; ".join(found.faults))


def _version(wanted: bool) -> None:
    if wanted:
        from unimri.deploy.doctor import own_version

        typer.echo(f"unimri {own_version()}")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    # Standard output goes to the rules' logs, which stay with the results: what we log names no patient and no file.
    # What pydicom and nibabel say repeats values of headers, and goes nowhere.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    ours = logging.getLogger("unimri")
    ours.addHandler(handler)
    # Another command may follow in the same process, on another standard output.
    context.call_on_close(lambda: ours.removeHandler(handler))
    ours.setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")


def main() -> None:
    """Entry point: a fault that the user can mend is one line on standard error and exit status 1."""
    try:
        app()
    except UnimriError as fault:
        sys.exit(f"unimri: {' '.join(str(fault).split())}")


if __name__ == "__main__":
    main()
