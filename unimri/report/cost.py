"""What the experiment cost: Snakemake's benchmarks, summed by step."""

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unimri.core.errors import UnimriError

_SAMPLING_OR_SEED = re.compile(r"[0-9.]+x(-[a-z0-9-]+)?|seed[0-9]+")
PAGE = "report"
"""The rule that makes the page."""

_RULES = {"metrics": "evaluate", "figures": "picture"}


@dataclass(frozen=True)
class Cost:
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
    found: dict[str, list[tuple[float, float, float]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        step = step_of(path.relative_to(folder))
        if step != PAGE:
            found.setdefault(step, []).append(_read(path))
    summed = []
    for step, jobs in found.items():
        seconds, cpu, memory = zip(*jobs, strict=True)
        summed.append(Cost(step, len(jobs), _sum(seconds), _sum(cpu), _largest(memory)))
    return sorted(summed, key=lambda cost: (-cost.cpu_seconds, cost.step))


def step_of(path: Path) -> str:
    """Name the step of a benchmark, whose path mirrors those of the results."""
    parts = [part for part in path.with_suffix("").parts if not _SAMPLING_OR_SEED.fullmatch(part)]
    if "adapted" in parts:
        return "adapted"
    if parts == ["figures", "curves"]:
        return "curves"
    # Masks are named after their sampling and nothing else.
    first = parts[0] if parts else path.parts[0]
    return _RULES.get(first, first)


def total(found: list[Cost]) -> Cost:
    """All steps together."""
    return Cost(
        "all",
        sum(cost.jobs for cost in found),
        sum(cost.seconds for cost in found),
        sum(cost.cpu_seconds for cost in found),
        _largest([cost.memory for cost in found]),
    )


def clock(seconds: float) -> str:
    """A time as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _read(path: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and memory of a job; of its repetitions, the sums and the largest."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        values = [tuple(_value(row[name]) for name in ("s", "cpu_time", "max_rss")) for row in rows]
        seconds, cpu, memory = zip(*values, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError):
        raise UnimriError(f"{path}: not a benchmark of Snakemake; delete it, the page does without") from None
    return _sum(seconds), _sum(cpu), _largest(memory)


def _value(text: str) -> float:
    # Snakemake's words for a job that was over before it was measured.
    return math.nan if text in ("-", "NA", "") else float(text)


def _sum(values: Iterable[float]) -> float:
    return sum(value for value in values if not math.isnan(value))


def _largest(values: Iterable[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
