"""How long Snakemake plans the paper's whole experiment over folders of many scans, as `snakemake -n` does.

    python benchmarks/planning.py [--volumes 750 3000 12000] [--files 49] [--rounds 3]

The scans are empty files in folders, divided among the anatomies as in the paper's counts; planning looks at names and
sizes only. Each number of volumes is planned from nothing, and again with shards and manifests there (empty files, and
Snakemake's own records of them). Of the rounds the fastest counts, by wall time and by processor time (user and
system) on its own: others may use the machine. The smallest number of volumes is the baseline of the ratios.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from unimri.config import load_config
from unimri.workflow.plan import WorkflowPlan

ROOT = Path(__file__).parents[1]
CONFIGS = [ROOT / "config.yaml", ROOT / "workflow/config/paper.yaml"]
# Of the volumes, roughly as in the paper.
SHARES = {"brain": 0.55, "knee": 0.41, "cardiac": 0.02, "abdomen": 0.01, "prostate": 0.01}


def write_scans(folder: Path, volumes: int, files: int) -> None:
    """Folders of empty files, and the overlay that names them."""
    anatomies = {}
    for anatomy, share in SHARES.items():
        for volume in range(max(3, round(volumes * share))):
            (folder / anatomy / f"{volume:05d}").mkdir(parents=True)
            for file in range(files):
                (folder / anatomy / f"{volume:05d}" / f"{file:03d}.dcm").touch()
        anatomies[anatomy] = {"path": str(folder / anatomy)}
    (folder / "overlay.yaml").write_text(yaml.safe_dump({"anatomies": anatomies}))


def write_prepared(folder: Path) -> None:
    """Empty files where preparation leaves its own, which Snakemake then takes for made."""
    plan = WorkflowPlan(load_config(*CONFIGS))
    targets = []
    for anatomy in plan.anatomies:
        private, data = folder / plan.private / anatomy, folder / plan.results / "data" / anatomy
        for shard in plan.shards:
            targets += [private / f"{shard}.json", data / f"{shard}.h5", data / f"{shard}.json"]
        targets += [data / f"{name}.csv" for name in ("manifest", "sources", "skipped")]
    for path in targets:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    snakemake(folder, "--touch", "--cores", "1", "--until", "manifest")


def snakemake(folder: Path, *options: str) -> tuple[float, float]:
    """Run it; wall and processor seconds."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "--snakefile", str(ROOT / "Snakefile"), *options]
    command += ["--directory", str(folder), "--configfile", *map(str, CONFIGS), str(folder / "overlay.yaml")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        sys.exit(run.stderr)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def planned(folder: Path, rounds: int) -> tuple[float, float]:
    """Fastest wall and processor seconds of dry runs."""
    times = [snakemake(folder, "-n") for _ in range(rounds)]
    return min(wall for wall, _ in times), min(processor for _, processor in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, nargs="+", default=[750, 3000, 12000])
    parser.add_argument("--files", type=int, default=49, help="in a volume; the paper: 585,000 slices")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    first: dict[str, tuple[float, float]] = {}
    for volumes in arguments.volumes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_scans(folder, volumes, arguments.files)
            for state in ("from nothing", "prepared"):
                if state == "prepared":
                    write_prepared(folder)
                wall, processor = planned(folder, arguments.rounds)
                first_wall, first_processor = first.setdefault(state, (wall, processor))
                size = (
                    f"{volumes:6d} volumes ({volumes / arguments.volumes[0]:g}x), {volumes * arguments.files:7d} files"
                )
                print(
                    f"{size}, {state:12s}: {wall:6.1f} s ({wall / first_wall:.2f}), "
                    f"processor {processor:6.1f} s ({processor / first_processor:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
