"""How long Snakemake plans the paper's whole experiment over folders of many scans, as `snakemake -n` does.

    python benchmarks/planning.py [--volumes 750 3000 12000] [--files 49]

The scans are empty files in folders, divided among the anatomies as in the paper's counts; planning looks at names and
sizes only. The smallest number of volumes is the baseline of the ratio.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# Of the volumes, roughly as in the paper.
SHARES = {"brain": 0.55, "knee": 0.41, "cardiac": 0.02, "abdomen": 0.01, "prostate": 0.01}


def plan(folder: Path, volumes: int, files: int) -> float:
    """Seconds of a dry run."""
    anatomies = {}
    for anatomy, share in SHARES.items():
        for volume in range(max(3, round(volumes * share))):
            (folder / anatomy / f"{volume:05d}").mkdir(parents=True)
            for file in range(files):
                (folder / anatomy / f"{volume:05d}" / f"{file:03d}.dcm").touch()
        anatomies[anatomy] = {"path": str(folder / anatomy)}
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"anatomies": anatomies}))
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--snakefile", str(ROOT / "Snakefile")]
    configs = [ROOT / "config.yaml", ROOT / "workflow/config/paper.yaml", overlay]
    start = time.perf_counter()
    run = subprocess.run(
        [*command, "--directory", str(folder), "--configfile", *map(str, configs)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if run.returncode:
        sys.exit(run.stderr)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, nargs="+", default=[750, 3000, 12000])
    parser.add_argument("--files", type=int, default=49, help="in a volume; the paper: 585,000 slices")
    arguments = parser.parse_args()
    first = None
    for volumes in arguments.volumes:
        with tempfile.TemporaryDirectory() as folder:
            seconds = plan(Path(folder), volumes, arguments.files)
        first = first or seconds
        count = volumes * arguments.files
        print(f"{volumes:6d} volumes, {count:7d} files: {seconds:6.1f} s, ratio {seconds / first:.2f}", flush=True)


if __name__ == "__main__":
    main()
