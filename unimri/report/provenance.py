"""What the results were made from, and what they cost.

Made from: digests of models and data, versions, code, and the machine without its name. Cost: Snakemake's benchmarks,
summed by step.
"""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from unimri.core.artifacts import check_noted, sha256
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_json
from unimri.report.experiment import shown_settings
from unimri.report.tables import read_rows

_SAMPLING_OR_SEED = re.compile(r"[0-9.]+x(-[a-z0-9-]+)?|seed[0-9]+")
PAGE = "report"
"""The rule that makes the page."""

_SUMS = {"jobs": "sum", "seconds": "sum", "cpu_seconds": "sum", "memory": "max"}
_RULES = {"reconstructions": "reconstruct", "scores": "score"}


@dataclass(frozen=True)
class Model:
    """One model, or one anatomy's ASPIN.

    Attributes
    ----------
    name : its file, below the results' folder.
    parameters : that it adds; None for an ASPIN that was trained with its network and is counted there.
    best : PSNR on validation in dB, of the epoch that was kept.
    digest : SHA-256 of its weights.
    code : digest of the code that trained it.
    """

    name: str
    parameters: int | None
    best: float
    digest: str
    code: str


@dataclass(frozen=True)
class DataSet:
    """One prepared data set: SHA-256 of its manifest, and of each of its shards."""

    anatomy: str
    manifest: str
    shards: dict[str, str]


@dataclass(frozen=True)
class Provenance:
    """All of it.

    Attributes
    ----------
    configuration : as YAML, without paths and patterns of file names.
    models, data : in the order of their files.
    versions : of libraries, with which the models were trained; several where they differ.
    precision : in which the networks were trained; several where they differ, empty when nothing says it.
    commit, date : of the code that made the page, with a note where the code was changed since; empty when it is no
        checkout. The date is the commit's: the page's own would make each page differ from the last.
    machine : of the machine that made the page.
    """

    configuration: str
    models: list[Model]
    data: list[DataSet]
    versions: dict[str, str]
    precision: str
    commit: str
    date: str
    machine: dict[str, str]


def provenance(results: Path, config: dict[str, Any]) -> Provenance:
    """Gather what the results were made from.

    Raises
    ------
    UnimriError : when a model's JSON or a manifest is damaged.
    """
    models, versions, precision = _models(results)
    configuration = yaml.safe_dump(shown_settings(config), sort_keys=False, allow_unicode=True, default_flow_style=None)
    return Provenance(configuration, models, _data(results), versions, precision, *_commit(), _machine())


def _git(*words: str) -> str:
    """What git says of the folder of this file; empty when it says nothing."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit() -> tuple[str, str]:
    """Commit and date of the code. A package that was installed into the repository of something else has none."""
    if not _git("ls-files", "--error-unmatch", "--", Path(__file__).name):
        return "", ""
    commit, _, date = _git("log", "-1", "--format=%H %cs").partition(" ")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", str(Path(__file__).parents[1]))
    return commit + (", and changed since" if changed else ""), date


def _models(results: Path) -> tuple[list[Model], dict[str, str], str]:
    found: list[Model] = []
    precisions: set[str] = set()
    versions: dict[str, set[str]] = {}
    for path in sorted(results.glob("*x*/**/*.safetensors")):
        if "last" in path.relative_to(results).parts:
            continue
        check_noted(path)
        # A base anatomy's ASPIN was trained with its network, whose JSON speaks for both.
        own = path.with_suffix(".json")
        about = own if own.is_file() else path.parent.parent / "model.json"
        content = _read(about)
        try:
            parameters, best = int(content["parameters"]), float(content["best_validation_psnr_db"])
            code = str(content["code"])
            for name, version in content["versions"].items():
                versions.setdefault(str(name), set()).add(str(version))
            if known := content.get("task", {}).get("optimisation", {}).get("precision"):
                precisions.add(str(known))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UnimriError(f"{about}: does not say what its model was made from; train it again") from None
        name = path.relative_to(results).as_posix()
        found.append(Model(name, parameters if about == own else None, best, sha256(path), code))
    named = {name: ", ".join(sorted(known)) for name, known in sorted(versions.items())}
    return found, named, ", ".join(sorted(precisions))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UnimriError(f"{path}: cannot be read as JSON; train its model again")
    return content


def _data(results: Path) -> list[DataSet]:
    found = []
    for path in sorted(results.glob("data/*/manifest.csv")):
        check_noted(path)
        _, rows = read_rows(path, ["shard", "shard_sha256"])
        shards = {row["shard"]: row["shard_sha256"] for row in rows}
        found.append(DataSet(path.parent.name, sha256(path), dict(sorted(shards.items()))))
    return found


def left_out(results: Path) -> list[tuple[str, str, int]]:
    """Count the volumes that were left out: anatomy, reason, how many."""
    counts: dict[tuple[str, str], int] = {}
    for path in sorted(results.glob("data/*/skipped.csv")):
        check_noted(path)
        for row in read_rows(path, ["reason"])[1]:
            place = (path.parent.name, row["reason"])
            counts[place] = counts.get(place, 0) + 1
    return [(anatomy, reason, number) for (anatomy, reason), number in counts.items()]


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


class Cost(NamedTuple):
    """What the jobs of one step cost.

    Attributes
    ----------
    step : its name.
    jobs : how many.
    seconds, cpu_seconds : their sums.
    memory : the largest job's resident memory, in MiB; NaN when it was too short to be measured.
    """

    step: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory: float


def costs(folder: Path) -> list[Cost]:
    """Sum the benchmarks below a folder by step, the most expensive first.

    That of the page is left out: it is of the time before, and would make each page differ from the last.

    Raises
    ------
    UnimriError : when a benchmark is damaged.
    """
    steps = {path: step_of(path.relative_to(folder)) for path in sorted(folder.rglob("*.tsv"))}
    rows = [(step, 1, *_benchmark(path)) for path, step in steps.items() if step != PAGE]
    summed = _frame(rows).groupby("step", as_index=False).agg(_SUMS)
    ordered = summed.sort_values(["cpu_seconds", "step"], ascending=[False, True])
    return [Cost(*row) for row in ordered.itertuples(index=False, name=None)]


def total(found: list[Cost]) -> Cost:
    """All steps together."""
    jobs, *sums = _frame(found).agg(_SUMS)
    return Cost("all", int(jobs), *sums)


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(Cost._fields)).astype({"jobs": "int64"})


def step_of(path: Path) -> str:
    """Name the step of a benchmark, whose path mirrors those of the results."""
    parts = [part for part in path.with_suffix("").parts if not _SAMPLING_OR_SEED.fullmatch(part)]
    if "adapted" in parts:
        return "adapted"
    # Masks are named after their sampling and nothing else.
    first = parts[0] if parts else path.parts[0]
    return _RULES.get(first, first)


def clock(seconds: float) -> str:
    """A time as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _benchmark(path: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and memory of a job; of its repetitions, the sums and the largest.

    Missing is what was over before it was measured.
    """
    try:
        rows = pd.read_csv(path, sep="\t", na_values="-")[["s", "cpu_time", "max_rss"]].astype("float64")
    except (OSError, KeyError, ValueError):
        rows = pd.DataFrame()
    if rows.empty:
        raise UnimriError(f"{path}: not a benchmark of Snakemake; delete it, the page does without")
    return rows["s"].sum(), rows["cpu_time"].sum(), rows["max_rss"].max()
