"""The workflow through a real SLURM: as on one machine, whatever happens to jobs, to SLURM and to Snakemake itself."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from slurm_cluster import Cluster, missing, wait

pytestmark = pytest.mark.slow

# The tiny experiment with two anatomies; trainings may have a GPU, and find that it is none.
SMALL = {
    "anatomies": {"knee": None, "cardiac": None, "abdomen": None},
    "training": {"device": "auto"},
    "studies": {
        "controls": [],
        "classical": [],
        "layers": [],
        "patients": [],
        "robustness": {"accelerations": [], "masks": [], "noise": []},
        "aspin_matrix": False,
    },
}
SITE = {
    "partition": "cpu",
    "gpu_partition": "gpu",
    "jobs": 12,
    "cores": 2,
    "memory_mb": 8000,
    "minutes": 30,
    "status_seconds": 1,
    "latency_seconds": 5,
    # Its first attempt cannot even import torch.
    "resources": {"shared": {"mem_mb": "200 if attempt == 1 else 4000"}},
}
TABLE = ("results-tiny/tables/table1.csv",)
TRAININGS = ("independent/brain", "independent/prostate", "pretrained", "shared")
MODELS = tuple(f"results-tiny/4x/seed2021/{name}/model.json" for name in (*TRAININGS, "distilled/layer3"))
PROFILE = ("--workflow-profile", str(ROOT / "workflow/profiles/slurm"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := missing():
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    running = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


class Run:
    """Snakemake in a working folder of its own."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.freezer = folder / "freezer"
        self.freezer.mkdir()
        (folder / "site.yaml").write_text(yaml.safe_dump(SITE))

    def start(self, log: str, settings: dict, targets: tuple[str, ...], *how: str) -> subprocess.Popen:
        """Start it; `how`: its options."""
        (self.folder / "small.yaml").write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *how]
        command += ["--directory", str(self.folder), *targets, "--configfile", str(ROOT / "config.yaml")]
        command += [str(ROOT / "workflow/config/tiny.yaml"), str(self.folder / "small.yaml")]
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        environment = self.cluster.environment | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "freezer"), *filter(None, inherited)]),
            "FREEZER": str(self.freezer),
            "UNIMRI_SITE": str(self.folder / "site.yaml"),
        }
        with (self.folder / log).open("wb") as output:
            # Tests that a shell runs in the background have Ctrl-C ignored, and would hand that on.
            heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
            return subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=self.folder, preexec_fn=heard
            )

    def says(self, log: str) -> str:
        return (self.folder / log).read_text()

    def freeze(self, *trainings: str) -> None:
        for training in trainings:
            (self.freezer / f"{training}.frozen").unlink(missing_ok=True)
            (self.freezer / training).touch()

    def frozen(self, training: str) -> int:
        """The process of a training that is frozen after its first checkpoint."""
        file = self.freezer / f"{training}.frozen"
        wait(lambda: file.exists() and bool(file.read_text()), f"{training} to be frozen")
        return int(file.read_text())

    def jobs(self, states: str | None = None) -> dict[str, tuple[str, str, str, str]]:
        return self.cluster.jobs(self.folder, states)

    def job(self, comment: str) -> str:
        """Number of the one SLURM job of a rule and its wildcards that is running."""
        (number,) = [number for number, (what, _, _, _) in self.jobs("RUNNING").items() if what == comment]
        return number

    def goes_on(self, training: str) -> bool:
        """Whether a training has begun where the one before was stopped."""
        log = (self.folder / f"results-tiny/logs/4x/seed2021/{training}.log").read_text()
        return re.search(r"going on from step \d+, after 1 epochs", log) is not None and "epoch 1 of" not in log

    def artifacts(self) -> dict[str, bytes]:
        """What must come out the same: data, trainings, scores and tables."""
        root = self.folder / "results-tiny"
        files = [path for name in ("4x", "tables", "data") for path in (root / name).rglob("*") if path.is_file()]
        return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_whatever_happens_the_tables_are_those_of_one_machine(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = Run(tmp_path_factory.mktemp("local"), cluster)
    assert local.start("log", SMALL, TABLE, "--cores", "2").wait() == 0, local.says("log")[-3000:]
    expected = local.artifacts()
    assert len(expected) > 40

    run = Run(tmp_path_factory.mktemp("run"), cluster)
    frozen = [name.replace("/", "-") for name in TRAININGS]
    run.freeze(*frozen, "distilled-layer3")
    first = run.start("first.log", SMALL, MODELS, *PROFILE)
    for training in frozen:
        run.frozen(training)
    lost = run.job("rule_independent_wildcards_4x_2021_prostate")
    preempted = run.job("rule_pretrained_wildcards_4x_2021")
    cluster.restart_node(run.jobs()[preempted][3])
    cluster.cancel(run.job("rule_independent_wildcards_4x_2021_brain"))
    cluster.run_out_of_time(run.job("rule_shared_wildcards_4x_2021"))
    run.freeze("independent-prostate")
    cluster.lose_node(run.jobs()[lost][3])
    cluster.preempt(preempted, "REQUEUE")
    other = run.start("other.log", SMALL, TABLE, *PROFILE)
    assert other.wait(120) == 1
    refused = r"^unimri: results-tiny: another Snakemake works on it \(root on .*process \d+"
    assert re.search(refused, run.says("other.log"), re.M)
    distilled = run.frozen("distilled-layer3")
    run.frozen("independent-prostate")
    finished = [f"(Rule: {rule})" for rule in ("independent", "pretrained", "shared")]
    wait(lambda: all(rule in run.says("first.log") for rule in finished), "the others to finish")
    assert all(map(run.goes_on, TRAININGS))
    # SLURM has put them back itself, and Snakemake tries the others again.
    submitted = [comment for comment, _, _, _ in run.jobs("all").values()]
    for number in (lost, preempted):
        assert re.search(rf"JobId={number} .*Restarts=1", cluster.describe(number))
        assert submitted.count(run.jobs("all")[number][0]) == 1
    assert run.says("first.log").count("Trying to restart job") >= 3

    # One ends when nobody watches, and one does not.
    alone = run.job("rule_distilled_wildcards_4x_2021_3")
    first.kill()
    first.wait()
    os.kill(distilled, signal.SIGCONT)
    wait(lambda: alone not in run.jobs(), "the training that was left alone")
    assert (run.folder / "results-tiny/4x/seed2021/distilled/layer3/model.json").exists()
    run.freeze("distilled-layer3")
    second = run.start("second.log", SMALL | {"distillation": {"omega": 0.5}}, MODELS, *PROFILE)
    run.frozen("distilled-layer3")
    assert f"cancelling SLURM jobs of an earlier Snakemake: {lost}\n" in run.says("second.log")
    outdated = run.job("rule_distilled_wildcards_4x_2021_3")
    second.send_signal(signal.SIGINT)
    assert second.wait(120) == 1

    run.freeze("pretrained-aspin")
    last = run.start("last.log", SMALL, TABLE, *PROFILE)
    run.frozen("pretrained-aspin")
    assert outdated not in run.jobs()
    taken = run.job("rule_adapted_wildcards_4x_2021_pretrained_prostate")
    cluster.preempt(taken, "CANCEL")
    assert last.wait(400) == 0, run.says("last.log")[-3000:]
    assert f"SLURM has taken job {taken} away" in run.says("last.log")

    found = run.artifacts()
    assert [path for path in sorted(found.keys() | expected) if found.get(path) != expected.get(path)] == []
    assert list((run.folder / "results-tiny/checkpoints").iterdir()) == []
    assert list((run.folder / "results-tiny").rglob(".partial-*")) == []
    submitted = {(what.split("_wildcards_")[0], partition) for what, partition, _, _ in run.jobs("all").values()}
    on_gpus = {"rule_independent", "rule_shared", "rule_pretrained", "rule_distilled", "rule_adapted"}
    assert {what for what, partition in submitted if partition == "gpu"} == on_gpus
    assert {"rule_simulate", "rule_index", "rule_shard"} < {what for what, partition in submitted if partition == "cpu"}
