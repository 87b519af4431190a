"""Memory does not grow with a volume's length, and is below 2 GB for one slice of 2048 x 2048."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scan_files import write_fastmri

from unimri.models.settings import CascadeSettings

GIGABYTE = 2**30


# Of the process itself: what `wait4` tells begins with the memory of the process that started it.
PROGRAM = """
import re, sys
from unimri.cli.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak(folder: Path, scan: Path, model: Path) -> int:
    """The most memory, in bytes, that reconstructing a scan takes."""
    command = [sys.executable, "-c", PROGRAM, "reconstruct", str(scan), "-o", str(folder / f"{scan.name}-out")]
    command += ["-a", "brain", "-m", str(model), "--threads", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return int(run.stdout.split()[-1]) * 1024


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, np.float32)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
def test_a_large_slice_takes_less_than_2_gigabytes(tmp_path: Path, model_of: Callable[[CascadeSettings], Path]) -> None:
    # Of its layers and cascades, one after the other, the widest decides.
    model = model_of(CascadeSettings(cascades=1, last_convolution="default"))
    assert json.loads((model / "model.json").read_text())["network"]["width"] == 32
    np.save(tmp_path / "large.npy", noise(1, 2048, 2048))
    assert peak(tmp_path, tmp_path / "large.npy", model) < 2 * GIGABYTE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
def test_a_long_kspace_takes_no_more_than_a_short_one(
    tmp_path: Path, model_of: Callable[[CascadeSettings], Path]
) -> None:
    model = model_of(CascadeSettings(cascades=1, convolutions=2, width=2))
    peaks = []
    for slices in (8, 80):
        kspace = noise(slices, 8, 256, 128).astype(np.complex64)  # 4 MB a slice
        kspace[:, :, 128, 64] = 1000
        path = write_fastmri(tmp_path / f"{slices}.h5", kspace=kspace, ismrmrd_header=None)
        peaks.append(peak(tmp_path, path, model))
    # Of 168 MB; up to 16 MB of a stack stay in memory.
    assert peaks[1] - peaks[0] < 60 * 2**20
