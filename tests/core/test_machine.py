from pathlib import Path

import psutil
import pytest

from unimri.core.machine import machine_resources


def test_memory_is_at_most_the_machines() -> None:
    assert 0 < machine_resources()["mem_mb"] <= psutil.virtual_memory().total / 1e6


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("2,GPU-1f3c", 2)])
def test_gpus_are_those_that_a_process_sees(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_resources()["gpu"] == count


def test_gpus_are_those_that_the_driver_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_resources()["gpu"] == 0
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "GPU 0: One (UUID: GPU-1)"\necho "  MIG 1g"\necho "GPU 1: Two (UUID: GPU-2)"\n')
    tool.chmod(0o755)
    assert machine_resources()["gpu"] == 2
