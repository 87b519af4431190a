"""The workflow through a real SLURM: as on one machine, whatever happens to jobs, to SLURM and to Snakemake itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from slurm_cluster import NODES, Cluster, missing, thaw, wait
from snakemake_executor_plugin_unimri_slurm import run_name

pytestmark = pytest.mark.slow

METHODS = ("undersampled", "independent", "shared", "without_distillation", "proposed")
# The tiny experiment with fewer anatomies; trainings may have a GPU, and find that it is none.
SMALL = {
    "anatomies": {"cardiac": None, "abdomen": None},
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
    "cores": 4,
    "memory_mb": 8000,
    "minutes": 30,
    "together": 20,
    "status_command": "squeue",
    "status_seconds": 1,
    "latency_seconds": 5,
}


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
    """Snakemake on the cluster, in a working folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, run_name(folder)
        self.freezer = folder / "freezer"
        self.freezer.mkdir(exist_ok=True)

    def start(self, settings: dict, log: str, site: dict, *arguments: str) -> subprocess.Popen:
        """Start it; without `arguments` it makes Table 1."""
        (self.folder / "small.yaml").write_text(yaml.safe_dump(settings))
        (self.folder / "site.yaml").write_text(yaml.safe_dump(site))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--workflow-profile", str(ROOT / "workflow/profiles/slurm"), "--directory", str(self.folder)]
        command += [*(arguments or ["results/tables/table1.csv"]), "--configfile", str(ROOT / "config.yaml")]
        command += [str(ROOT / "workflow/config/tiny.yaml"), str(self.folder / "small.yaml")]
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parent / "freezer"),
            "FREEZER": str(self.freezer),
            "UNIMRI_SITE": str(self.folder / "site.yaml"),
            # Both nodes are this machine, and their names are known to SLURM alone.
            "MASTER_ADDR": "127.0.0.1",
        }
        with (self.folder / log).open("wb") as output:
            # Tests that a shell runs in the background have Ctrl-C ignored, and would hand that on.
            heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
            return subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=self.folder, preexec_fn=heard
            )

    def says(self, log: str) -> str:
        return (self.folder / log).read_text()

    def freeze(self, training: str) -> None:
        (self.freezer / f"{training}.frozen").unlink(missing_ok=True)
        (self.freezer / training).touch()

    def frozen(self, training: str) -> int | None:
        file = self.freezer / f"{training}.frozen"
        return int(file.read_text()) if file.exists() and file.read_text() else None

    def job(self, cluster: Cluster, comment: str) -> str:
        """Number of the one SLURM job of a rule and its wildcards."""
        (number,) = [number for number, (what, _, _) in cluster.jobs(self.name).items() if what == comment]
        return number

    def artifacts(self) -> dict[str, bytes]:
        """What must come out the same: trainings, scores and tables."""
        root = self.folder / "results"
        files = [*(root / "4x").rglob("*"), *(root / "tables").rglob("*"), *(root / "data").rglob("*")]
        return {str(file.relative_to(root)): file.read_bytes() for file in files if file.is_file()}


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return sorted(path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path))


@pytest.fixture(scope="module")
def calm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """From raw files to the table, undisturbed."""
    run = Run(tmp_path_factory.mktemp("calm"))
    assert run.start(SMALL, "log", SITE).wait(600) == 0, run.says("log")[-3000:]
    return run


def test_small_jobs_share_submissions_and_trainings_get_the_partition_with_gpus(calm: Run, cluster: Cluster) -> None:
    log = calm.says("log")
    assert "Submitted array job" in log
    jobs = cluster.jobs(calm.name, states="all")
    # A group's is its own name and that of its rule.
    rules = [comment.removeprefix("rule_").partition("_wildcards_")[0] for comment, _, _ in jobs.values()]
    assert {rule: rules.count(rule) for rule in ("independent", "pretrained", "shared", "distilled")} == {
        "independent": 3,
        "pretrained": 1,
        "shared": 1,
        "distilled": 1,
    }
    assert [rules.count(group) for group in ("shards_shard", "fits_adapted", "scores_evaluate")] == [1, 1, 1]
    assert not {"shard", "adapted", "evaluate"} & set(rules)
    trainings = {"independent", "pretrained", "shared", "distilled", "fits_adapted"}
    partitions = {(rule in trainings, partition) for rule, (_, partition, _) in zip(rules, jobs.values(), strict=True)}
    assert partitions == {(True, "gpu"), (False, "cpu")}


def test_a_training_is_shared_by_two_nodes(calm: Run, tmp_path: Path) -> None:
    shutil.copytree(calm.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    settings = SMALL | {"training": SMALL["training"] | {"nodes": 2}}
    model = "results/4x/seed2021/shared/model.json"
    assert run.start(settings, "log", SITE | {"gpus": 2}, model, "--forcerun", "shared").wait(200) == 0, run.says("log")
    assert json.loads((run.folder / model).read_text())["processes"] == [2]
    log = (run.folder / "results/logs/4x/seed2021/shared.log").read_text()
    assert log.count("INFO shared ") == 2


def test_whatever_happens_trainings_go_on_and_the_tables_come_out(calm: Run, cluster: Cluster, tmp_path: Path) -> None:
    shutil.copytree(calm.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    # What hangs on no training stays.
    for folder in (run.folder / "results/4x/seed2021").glob("*"):
        if folder.name != "metrics":
            shutil.rmtree(folder)
    for method in METHODS[1:]:
        shutil.rmtree(run.folder / "results/4x/seed2021/metrics" / method)
    shutil.rmtree(run.folder / "results/tables")
    brain, knee = ("rule_independent_wildcards_" + "_".join(("4x", "2021", name)) for name in ("brain", "knee"))
    for training in ("independent-brain", "independent-knee", "pretrained", "distilled-layer3"):
        run.freeze(training)
    # Its first attempt cannot even import torch.
    site = SITE | {"resources": {"shared": {"mem_mb": "200 if attempt == 1 else 4000"}}}

    first = run.start(SMALL, "first.log", site)
    waiting = ("independent-brain", "independent-knee", "pretrained")
    wait(lambda: all(map(run.frozen, waiting)), "three trainings")
    cancelled = run.job(cluster, brain)
    cluster.cancel(cancelled)
    cluster.run_out_of_time(run.job(cluster, "rule_pretrained_wildcards_4x_2021"))
    for node in NODES:
        cluster.kill_node(node)
        cluster.start_node(node)
    wait(lambda: run.says("first.log").count("Trying to restart job") >= 3, "what failed to be tried again")
    # A training that ends when nobody watches.
    first.kill()
    first.wait()
    alone = run.job(cluster, knee)
    thaw(run.frozen("independent-knee"))
    wait(lambda: alone not in cluster.jobs(run.name), "the training that was left alone")

    second = run.start(SMALL, "second.log", site)
    wait(lambda: run.frozen("distilled-layer3") is not None, "distillation")
    distilled = run.job(cluster, "rule_distilled_wildcards_4x_2021_3")
    second.kill()
    second.wait()

    third = run.start(SMALL, "third.log", site)
    wait(lambda: f"as SLURM job {distilled} of an earlier Snakemake: taken over" in run.says("third.log"), "takeover")
    other = run.start(SMALL, "other.log", site)
    assert other.wait(60) == 1
    assert "taken over" not in run.says("other.log")
    assert re.search(
        r"^unimri: results: another Snakemake works on it \(root on .*process \d+", run.says("other.log"), re.M
    )
    third.kill()
    third.wait()

    run.freeze("distilled-layer3")
    fourth = run.start(SMALL | {"distillation": {"omega": 0.5}}, "fourth.log", site)
    wait(lambda: f"SLURM jobs {distilled}, left running" in run.says("fourth.log"), "what is outdated to be cancelled")
    wait(lambda: run.frozen("distilled-layer3") is not None, "another distillation")
    outdated = run.job(cluster, "rule_distilled_wildcards_4x_2021_3")
    assert outdated != distilled
    fourth.send_signal(signal.SIGINT)
    assert fourth.wait(120) == 1
    wait(lambda: outdated not in cluster.jobs(run.name), "what Ctrl-C has cancelled")

    last = run.start(SMALL, "last.log", site)
    assert last.wait(300) == 0, run.says("last.log")[-3000:]
    assert differing(run.artifacts(), calm.artifacts()) == []
    for training in ("independent/brain", "pretrained"):
        log = (run.folder / f"results/logs/4x/seed2021/{training}.log").read_text()
        assert re.search(r"going on from step \d+, after 1 epochs", log), log
        assert "epoch 1 of" not in log
    logs = "".join(run.says(f"{name}.log") for name in ("first", "second", "third", "fourth", "last"))
    submitted = re.findall(r"rule_(\w+)/?(\S*)/\d+\.log", logs)
    assert sum(rule == "independent" and "knee" in wildcards for rule, wildcards in submitted) == 1
    assert list((run.folder / "results/checkpoints").iterdir()) == []
    assert list((run.folder / "results").rglob(".partial-*")) == []
    assert not (run.folder / ".snakemake/locks").exists() or not list((run.folder / ".snakemake/locks").iterdir())


# Last, because another process of the tests makes what it compares with.
def test_scores_and_models_are_those_of_one_machine(calm: Run, finished: Path) -> None:
    found = calm.artifacts()
    compared = {
        path
        for path in found
        if re.match(
            rf"data/|4x/seed2021/(metrics/({'|'.join(METHODS)})|independent|shared|pretrained|distilled)/", path
        )
    }
    assert {path.split("/")[3] for path in compared if "/metrics/" in path} == set(METHODS)
    assert len(compared) > 80
    assert [path for path in sorted(compared) if found[path] != (finished / path).read_bytes()] == []
