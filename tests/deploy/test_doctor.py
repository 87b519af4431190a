import dataclasses
import itertools
from types import SimpleNamespace

import pytest
from calls import call
from packaging.requirements import Requirement

from unimri.deploy import doctor
from unimri.deploy.doctor import Machine, check_packages, diagnose, images_per_second, remarks

GOOD = Machine(
    processor="A processor",
    x86=True,
    cores=8,
    instructions=frozenset({"avx2", "avx512_f", "avx512_bf16"}),
    bfloat16=True,
    device="cuda",
    gpu="A GPU, 80 GB",
    gpus=1,
    memory=64 * 10**9,
    load=0.5,
)


def test_a_machine_that_has_all_is_slow_in_nothing():
    assert remarks(GOOD) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gpu": None, "gpus": 0, "device": "cpu"}, "There is no GPU"),
        ({"gpu": None, "gpus": 2, "device": "cpu"}, "2 GPU(s) and torch can use none: install a build"),
        ({"gpu": None, "device": "cpu", "bfloat16": False}, "no instructions for bfloat16"),
        ({"gpu": None, "device": "cpu", "instructions": frozenset()}, "neither AVX2 nor AVX-512"),
        ({"gpu": None, "device": "cpu", "instructions": frozenset()}, "may hide them: give it the host's"),
        ({"memory": 2 * 10**9}, "2.0 GB of memory are little"),
        ({"load": 20.0}, "20.0 processes on 8 core(s)"),
    ],
)
def test_what_is_slow_is_told_with_its_reason(change, says):
    assert any(says in remark for remark in remarks(dataclasses.replace(GOOD, **change)))


def test_processors_that_are_not_x86_lack_no_avx():
    arm = dataclasses.replace(GOOD, x86=False, instructions=frozenset(), device="cpu", gpu=None)
    assert not any("AVX" in remark for remark in remarks(arm))


def test_packages_that_are_missing_or_do_not_fit_are_faults():
    needed = [Requirement("numpy>=1"), Requirement("torch<1"), Requirement("no-such-package-of-ours>=2")]
    found, faults = check_packages(needed)
    assert [name for name, _ in found] == ["numpy", "torch", "no-such-package-of-ours"]
    assert found[2][1] == "missing"
    assert len(faults) == 2
    assert "does not fit; run `pip install 'torch<1'`" in faults[0]
    assert faults[1] == "no-such-package-of-ours is missing; run `pip install 'no-such-package-of-ours>=2'`"


def test_the_speed_is_whole_images_over_the_time_that_they_took(monkeypatch):
    # Each look at this clock finds a quarter of a second gone: three images are begun before the second is over.
    clock = SimpleNamespace(perf_counter=itertools.count(step=0.25).__next__)
    monkeypatch.setattr(doctor, "time", clock)
    assert images_per_second(16, "cpu", seconds=1.0) == 3.0


def test_the_command_prints_every_section_and_ends_with_0(monkeypatch):
    monkeypatch.setattr(doctor, "SIZES", (16, 24))
    result = call("doctor")
    assert (result.status, result.err) == (0, "")
    for part in ("Versions", "Optional", "Machine", "Compressed DICOM", "16 x 16", "24 x 24", "What would be slow"):
        assert part in result.out
    assert result.out.endswith("All that is needed is there.\n")


def test_what_is_missing_ends_with_1_and_one_line(monkeypatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: [Requirement("no-such-package-of-ours")])
    assert diagnose().faults
    result = call("doctor")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line == "unimri: no-such-package-of-ours is missing; run `pip install 'no-such-package-of-ours'`"
    assert "Something is missing." in result.out
