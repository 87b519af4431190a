"""What the workflow's rules call: one command a step. Thin: parses and calls."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from unimri.cli.commands import Json, Output, Pairs, models, pairs
from unimri.core.settings import parse_settings

# Their panel of `unimri --help`.
STEPS = "Steps of the workflow"

app = typer.Typer()

Methods = Annotated[list[str], typer.Option(help="Key of a method; may be given several times, in the order of rows.")]


@app.command(rich_help_panel=STEPS)
def simulate(settings: Json, seed: int, output: Output) -> None:
    """Write a simulated data set in a real one's format."""
    from unimri.data.scanner import SimulationSettings
    from unimri.data.simulate import simulate as run

    run(parse_settings(SimulationSettings, settings, "--settings"), output, seed)


@app.command(rich_help_panel=STEPS)
def index(anatomy: str, folder: Path, seed: int, settings: Json, output: Output) -> None:
    """List the scans of a data set by shard. The lists join keys to names: keep their folder private."""
    from unimri.data.index import IndexTask, index_scans, save_index

    save_index(index_scans(anatomy, folder, parse_settings(IndexTask, settings, "--settings"), seed), output)


@app.command(rich_help_panel=STEPS)
def shard(index: Path, folder: Path, settings: Json, output: Output) -> None:
    """Read, crop or resize, and scale the scans of one shard, and write it as HDF5."""
    from unimri.data.index import Index
    from unimri.data.prepare import ShardTask, prepare_shard

    prepare_shard(Index.load(index), folder, parse_settings(ShardTask, settings, "--settings"), output)


@app.command(rich_help_panel=STEPS)
def manifest(shards: list[Path], seed: int, settings: Json, output: Output) -> None:
    """Divide the patients of all shards (their JSON files) into splits, and write the manifest."""
    from unimri.data.index import Fractions
    from unimri.data.prepare import finish
    from unimri.data.shard import ShardContent

    contents = {path.with_suffix(".h5").name: ShardContent.load(path) for path in shards}
    finish(contents, parse_settings(Fractions, settings, "--settings"), seed, output)


@app.command(rich_help_panel=STEPS)
def prepare(anatomy: str, folder: Path, seed: int, settings: Json, output: Output) -> None:
    """Do all of that in one go: find, read, crop or resize, scale and split; write HDF5 shards and a manifest."""
    from unimri.data.prepare import PreparationTask
    from unimri.data.prepare import prepare as run

    run(anatomy, folder, parse_settings(PreparationTask, settings, "--settings"), output, seed)


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
    from unimri.training.launch import is_launched, launch, one_voice
    from unimri.training.run import Files, run_training
    from unimri.training.settings import Running, TrainingTask

    settings = parse_settings(TrainingTask, task, "--task")
    if processes > 1 and not is_launched():
        sys.exit(launch(processes, settings.threads, sys.argv[1:]))
    files = Files(pairs(data), mask, base, pairs(teacher))
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
def reconstruct_test(
    anatomy: str,
    data: Path,
    mask: Annotated[Path, typer.Argument(help="That the methods were trained with.")],
    output: Output,
    wanted: Annotated[
        typer.FileText,
        typer.Option(help="What to reconstruct, as JSON: a list of unimri.evaluation.reconstructions.Reconstruction."),
    ] = "-",  # type: ignore[assignment]
    checkpoints: Annotated[Path | None, typer.Option(help="Folder that keeps what is done until all is.")] = None,
) -> None:
    """Reconstruct the test split of an anatomy by every method and under every condition, and keep the images."""
    from unimri.evaluation.reconstruct import reconstruct_test_split
    from unimri.evaluation.reconstructions import read_list

    reconstruct_test_split(anatomy, data, mask, read_list(wanted.read(), "--wanted"), output, checkpoints)


@app.command(rich_help_panel=STEPS)
def score(reconstructions: Path, data: Path, settings: Json, output: Output) -> None:
    """Score kept reconstructions, slices and volumes; no network is loaded."""
    from unimri.evaluation.scores import score as run
    from unimri.metrics.base import MetricSettings

    run(reconstructions, data, parse_settings(MetricSettings, settings, "--settings"), output)


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
    from unimri.metrics.base import MetricSettings

    chosen = parse_settings(type(ClassicalSettings().of(method)), settings, "--settings")
    run(chosen, anatomy, data, mask, parse_settings(MetricSettings, metrics, "--metrics"), slices, output)


@app.command(rich_help_panel=STEPS)
def study_table(
    study: str,
    scores: list[Path],
    anatomy: Annotated[list[str], typer.Option(help="Column of the table; may be given several times.")],
    method: Methods,
    settings: Json,
    output: Output,
) -> None:
    """Write the table of a study: robustness, aspin_matrix, adaptation, forgetting or masks."""
    from unimri.evaluation.averages import table_columns
    from unimri.evaluation.study_tables import StudyName, write_study_table
    from unimri.metrics.base import MetricSettings
    from unimri.metrics.score import read_scores

    metrics = parse_settings(MetricSettings, settings, "--settings")
    name: StudyName = parse_settings(StudyName, json.dumps(study), "STUDY")  # type: ignore[arg-type]
    write_study_table(name, read_scores(scores, metrics), anatomy, method, table_columns(metrics), output)


@app.command(rich_help_panel=STEPS)
def study_picture(study: str, table: Path, acceleration: float, title: str, output: Output) -> None:
    """Draw one acceleration of the table of a study: adaptation or aspin_matrix."""
    from unimri.evaluation.figures import PictureName, draw_study

    name: PictureName = parse_settings(PictureName, json.dumps(study), "STUDY")  # type: ignore[arg-type]
    draw_study(name, table, acceleration, title, output)


@app.command(rich_help_panel=STEPS)
def picture(
    reconstructions: Path,
    data: Path,
    seed: int,
    simulated: bool,
    method: Methods,
    settings: Json,
    output: Output,
) -> None:
    """Draw one test slice as every method reconstructs it, with error maps, from the kept images."""
    from unimri.evaluation.figures import picture_methods
    from unimri.metrics.base import MetricSettings

    metrics = parse_settings(MetricSettings, settings, "--settings")
    picture_methods(reconstructions, data, method, seed, metrics, simulated, output)


@app.command(rich_help_panel=STEPS)
def curves(histories: Json, title: str, output: Output) -> None:
    """Draw the training curves of all stages side by side."""
    from unimri.evaluation.figures import draw_curves

    draw_curves(parse_settings(dict[str, dict[str, Path]], histories, "--histories"), title, output)


@app.command(rich_help_panel=STEPS)
def contact_sheet(data: Path, output: Output) -> None:
    """Draw the middle slices of an anatomy's prepared volumes."""
    from unimri.evaluation.figures import picture_data

    picture_data(data, output)


@app.command(rich_help_panel=STEPS)
def data_report(data: Pairs, origins: Json, output: Output, figure: Output) -> None:
    """Count what was prepared, beside the paper's counts, say what was left out, and draw histograms."""
    from unimri.evaluation.data_report import write_data_report

    write_data_report(pairs(data), parse_settings(dict[str, str], origins, "--origins"), output, figure)


@app.command(rich_help_panel=STEPS)
def tables(
    scores: list[Path],
    method: Methods,
    anatomies: Json,
    network: Json,
    settings: Json,
    statistics: Json,
    layer: Annotated[int, typer.Option(help="That Proposed distils.")],
    output: Output,
) -> None:
    """Write Tables 1 and S2, comparisons, conventions, the paper's claims and the parameter table."""
    from unimri.core.artifacts import write_json
    from unimri.evaluation.paper import parameter_table, write_parameters
    from unimri.evaluation.statistics import StatisticsSettings
    from unimri.evaluation.tables import ORIGINS, write_tables
    from unimri.metrics.base import MetricSettings
    from unimri.models.cascade import D5C5
    from unimri.models.folder import base_tensors
    from unimri.models.registry import NetworkSettings
    from unimri.training.methods import method as find_method

    origins = parse_settings(dict[str, str], anatomies, "--anatomies")
    counted = D5C5(parse_settings(NetworkSettings, network, "--network"), find_method("proposed").conditioning, ["one"])
    base = sum(tensor.numel() for tensor in base_tensors(counted).values())
    aspin = counted.conditioning.numbers
    metrics = parse_settings(MetricSettings, settings, "--settings")
    resampling = parse_settings(StatisticsSettings, statistics, "--statistics")
    parameters = parameter_table(base, aspin, len(origins))
    write_tables(scores, method, origins, metrics, resampling, parameters, layer, output)
    write_parameters(base, aspin, len(origins), output)
    write_json(output / ORIGINS, origins)


@app.command(rich_help_panel=STEPS)
def report(results: Path, config: Json, output: Output) -> None:
    """Write one page with all that a finished experiment has: tables, figures, cost, provenance."""
    from unimri.report.page import write_report

    write_report(results, parse_settings(dict[str, Any], config, "--config"), output)


@models.command("build", hidden=True)
def build(
    model: Path,
    mask: Path,
    task: Json,
    scores: Annotated[Path, typer.Option(help="Folder of the anatomies' scores.")],
    seed: Annotated[int, typer.Option(help="Of the model's training.")],
    output: Output,
    data: Pairs = None,
) -> None:
    """Make a model of a finished experiment; the workflow calls it."""
    from unimri.deploy.build import build_model
    from unimri.deploy.library import ModelTask

    build_model(parse_settings(ModelTask, task, "--task"), model, mask, pairs(data), scores, seed, output)
