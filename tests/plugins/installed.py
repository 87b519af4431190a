"""Packages as pip installs them, as far as Python looks: a folder of metadata on the path."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "unimri-example-plugins"


def install(folder: Path, name: str, version: str, points: dict[str, dict[str, str]]) -> Path:
    """Write the metadata of a package with these entry points by group; give the folder for the path."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{group}]\n" + "".join(f"{a} = {b}\n" for a, b in own.items()) for group, own in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def run(arguments: list[str], *path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders on its path, beside the package."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path))), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
