"""What the workflow's rules call: one command a step. Thin: parses and calls."""

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
    from torch.distributed import is_torchelastic_launched

    from unimri.training.callbacks import Display
    from unimri.training.distributed import launch, one_voice
    from unimri.training.engine import Callback
    from unimri.training.run import Files, run_training
    from unimri.training.settings import Running, TrainingTask

    settings = parse_settings(TrainingTask, task, "--task")
    if processes > 1 and not is_torchelastic_launched():
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
    tune: Annotated[list[str] | None, typer.Option(help="METHOD=FILE: a classical method to tune before.")] = None,
    classical: Annotated[str, typer.Option(help="Settings of the classical methods as JSON.")] = "{}",
    metrics: Annotated[str, typer.Option(help="Settings of the metrics, by which they are tuned, as JSON.")] = "{}",
    acquisition: Annotated[str, typer.Option(help="What is drawn for the slices they are tuned on, as JSON.")] = "",
) -> None:
    """Reconstruct the test split of an anatomy by every method and under every condition, and keep the images."""
    from unimri.classical.settings import ClassicalSettings
    from unimri.evaluation.reconstruct import reconstruct_test_split
    from unimri.evaluation.reconstructions import Reconstruction
    from unimri.metrics.base import MetricSettings
    from unimri.physics.drawing import AcquisitionSettings

    settings = parse_settings(ClassicalSettings, classical, "--classical")
    psnr = parse_settings(MetricSettings, metrics, "--metrics")
    drawn = parse_settings(AcquisitionSettings, acquisition, "--acquisition") if acquisition else None
    for method, tuned in pairs(tune).items():
        from unimri.classical.tuning import tune as run

        run(settings.of(method), anatomy, data, mask, psnr, settings.validation_slices, tuned, drawn)
    reconstructions = parse_settings(list[Reconstruction], wanted.read(), "--wanted")
    reconstruct_test_split(anatomy, data, mask, reconstructions, output, checkpoints)


@app.command(rich_help_panel=STEPS)
def score(reconstructions: Path, data: Path, settings: Json, output: Output) -> None:
    """Score kept reconstructions, slices and volumes; no network is loaded."""
    from unimri.evaluation.scores import score as run
    from unimri.metrics.base import MetricSettings

    run(reconstructions, data, parse_settings(MetricSettings, settings, "--settings"), output)


@app.command(rich_help_panel=STEPS)
def figures(task: Json, output: Output) -> None:
    """Draw the figures of one sampling: slices by every method, training curves, studies, masks."""
    from unimri.evaluation.figures import FiguresTask, draw_figures

    draw_figures(parse_settings(FiguresTask, task, "--task"), output)


@app.command(rich_help_panel=STEPS)
def data_report(data: Pairs, origins: Json, output: Output, figures: Output) -> None:
    """Count what was prepared, beside the paper's counts, say what was left out, draw histograms and contact sheets."""
    from unimri.evaluation.data_report import write_data_report

    write_data_report(pairs(data), parse_settings(dict[str, str], origins, "--origins"), output, figures)


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
    studies: Annotated[str, typer.Option(help="The studies' columns, as JSON: anatomies by study.")] = "{}",
    other_mask: Annotated[list[Path] | None, typer.Option(help="Scores with a mask of the study of masks.")] = None,
    made_from: Annotated[str, typer.Option(help="The configuration that they depend on and its digest, as JSON.")] = "",
) -> None:
    """Write Tables 1 and S2, comparisons, conventions, the paper's claims, the parameter table and the studies'."""
    from unimri.core.artifacts import write_json
    from unimri.evaluation.paper import parameter_table, write_parameters
    from unimri.evaluation.statistics import StatisticsSettings
    from unimri.evaluation.study_tables import StudyName
    from unimri.evaluation.tables import ORIGINS, note_tables, write_tables
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
    tried = parse_settings(dict[StudyName, list[str]], studies, "--studies")
    write_tables(scores, method, origins, metrics, resampling, parameters, layer, output, tried, other_mask or [])
    write_parameters(base, aspin, len(origins), output)
    write_json(output / ORIGINS, origins)
    if made_from:
        note_tables(output, **parse_settings(dict[str, Any], made_from, "--made-from"))


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
    scans: Annotated[str, typer.Option(help="Of each anatomy: folder, settings of its index and seed, as JSON.")],
    output: Output,
    data: Pairs = None,
) -> None:
    """Make a model of a finished experiment; the workflow calls it."""
    from unimri.deploy.build import Scans, build_model
    from unimri.deploy.library import ModelTask

    found = parse_settings(dict[str, Scans], scans, "--scans")
    build_model(parse_settings(ModelTask, task, "--task"), model, mask, pairs(data), found, scores, seed, output)
