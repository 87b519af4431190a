"""What the README's commands take from a fresh clone: minutes, processor minutes, and jobs with their seconds by step.

    python benchmarks/minutes.py reproduce
    python benchmarks/minutes.py test

`test` is what `.ci/run` runs. Of a cold start on an idle machine: nothing else may run, and pip's cache counts. The
clone is of the last commit, and is removed. Processor seconds by step are Snakemake's, which miss up to half a minute
of a job; those of the whole are the system's.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from unimri.report.provenance import costs, total

ROOT = Path(__file__).parents[1]
COMMANDS = {"reproduce": ["make", "reproduce"], "test": [".ci/run"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=list(COMMANDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "unimri"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        load, start, began = os.getloadavg()[0], time.perf_counter(), time.time()
        status = subprocess.run(COMMANDS[options.command], cwd=clone, check=False).returncode
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        installed = (clone / ".venv/.installed").stat().st_mtime - began
        print(
            f"{' '.join(COMMANDS[options.command])}: status {status}, on {os.cpu_count()} cores, load {load:.1f} before"
        )
        print(f"{seconds / 60:.1f} minutes, the first {installed / 60:.1f} of them installing what reproducing takes")
        print(f"{(used.ru_utime + used.ru_stime) / 60:.1f} processor minutes")
        if options.command == "reproduce":
            found = costs(clone / "results/benchmarks")
            headers = ["step", "jobs", "seconds", "processor seconds", "largest MB"]
            print(tabulate([*found, total(found)], headers=headers, floatfmt=".0f"))


if __name__ == "__main__":
    main()
