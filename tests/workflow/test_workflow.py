import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, snakemake

from unimri.evaluation.paper import published

pytestmark = pytest.mark.slow


def planned(results: Path, overlay: dict | None = None) -> dict[str, int]:
    """How many jobs of each rule a dry run plans."""
    overlays = ()
    if overlay is not None:
        overlays = (results.parent / "overlay.yaml",)
        overlays[0].write_text(yaml.safe_dump(overlay))
    run = snakemake(results, "-n", "--quiet", "rules", overlays=overlays)
    assert run.returncode == 0, run.stderr
    counts = dict(re.findall(r"^([a-z_]+) +(\d+)$", run.stdout + run.stderr, flags=re.MULTILINE))
    return {rule: int(count) for rule, count in counts.items() if rule not in ("total", "all")}


def artifacts(results: Path) -> dict[str, bytes]:
    folders = [results / "data", results / "masks", results / "4x", results / "tables"]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(results)): file.read_bytes() for file in files}


def test_from_raw_files_to_the_table(finished: Path) -> None:
    table = pd.read_csv(finished / "tables/table1.csv")
    assert list(table.columns) == list(published("table1").columns)
    assert len(table) == 8 * 2
    assert table.drop(columns=["method", "metric"]).notna().all().all()
    assert "simulated" in (finished / "tables/table1.md").read_text()


def test_the_page_shows_what_was_made(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    sections = ("summary", "results", "figures", "studies", "curves", "data", "masks", "cost", "provenance", "rerun")
    for section in sections:
        assert f'<section id="{section}"' in page
    # What no study made is left out.
    assert 'id="table-adaptation"' in page
    assert 'id="table-masks"' not in page
    assert "Simulated data" in page


def test_a_setting_that_trains_nothing_again_is_written_to_the_page(finished: Path) -> None:
    assert planned(finished, {"training": {"checkpoint_minutes": 3}}) == {"report": 1}


def test_plain_snakemake_finds_the_profile(finished: Path) -> None:
    run = snakemake(finished, "-n")
    assert "profiles/default" in run.stderr
    assert "Nothing to be done" in run.stdout + run.stderr


def test_a_second_run_plans_nothing_and_neither_does_a_touch(finished: Path) -> None:
    assert planned(finished) == {}
    for path in finished.rglob("*"):
        if path.is_file() and path.suffix in (".h5", ".csv", ".npz"):
            os.utime(path)
    assert planned(finished) == {}


# Of the studies: what hangs on Proposed, and what an anatomy of its own adds. Studies' tables are inputs of figures.
ON_PROPOSED = {
    "few_aspin": 3,
    "few_finetuned": 6,
    "reconstruct": 5,
    "score": 5,
}
REPORTED = {"tables": 1, "figures": 1, "report": 1}
AN_ANATOMY = {
    "simulate": 1,
    "index": 1,
    "shard": 1,
    "manifest": 1,
    "independent": 1,
    "adapted": 4,
    "few_aspin": 1,
    "few_finetuned": 2,
    "few_scratch": 1,
    "data_report": 1,
    "model": 1,
    **REPORTED,
}


def test_omega_plans_s3_and_what_follows(finished: Path) -> None:
    jobs = planned(finished, {"distillation": {"omega": 0.5}})
    assert jobs == {
        "distilled": 2,
        "adapted": 6,
        "model": 1,
        **ON_PROPOSED,
        **REPORTED,
    }


def test_another_seed_plans_its_trainings_and_their_tables(finished: Path) -> None:
    jobs = planned(finished, {"training": {"seeds": [2021, 7]}})
    assert jobs == {
        "independent": 5,
        "shared": 1,
        "pretrained": 1,
        "distilled": 2,
        "continued": 1,
        "adapted": 12,
        **ON_PROPOSED,
        "few_scratch": 3,
        # From the same files, which hold another seed's scores too.
        "model": 1,
        **REPORTED,
    }


def test_a_new_anatomy_plans_its_own_jobs_and_the_tables(finished: Path) -> None:
    hip = yaml.safe_load((ROOT / "config.yaml").read_text())["anatomies"]["prostate"]
    jobs = planned(finished, {"anatomies": {"hip": hip}})
    # Its ASPIN is tried on the others, and the base anatomies are tried after it was learnt.
    assert jobs == {**AN_ANATOMY, "reconstruct": 6, "score": 6}


def test_another_simulation_plans_its_preparation_and_what_follows(finished: Path) -> None:
    jobs = planned(finished, {"anatomies": {"prostate": {"simulation": {"noise": 0.1}}}})
    assert jobs == {**AN_ANATOMY, "reconstruct": 5, "score": 5}


def test_a_study_plans_what_it_alone_needs(finished: Path) -> None:
    assert planned(finished, {"statistics": {"resamples": 300}}) == REPORTED
    noise = planned(finished, {"studies": {"robustness": {"noise": [0.05]}}})
    # What was scored before comes out as it was: only then is it known that nothing else changes.
    scored = {"reconstruct": 5, "score": 5, "model": 1, **REPORTED}
    assert noise == scored
    assert planned(finished, {"studies": {"patients": [1, 2]}}) == {
        "few_aspin": 3,
        "few_finetuned": 3,
        "few_scratch": 3,
        # Of the new anatomies alone: not of forgetting, which is of the others.
        **scored | {"reconstruct": 3, "score": 3},
    }
    mask = planned(finished, {"studies": {"masks": [{"preset": "schlemper"}]}})
    assert (mask["mask"], mask["independent"]) == (1, 5)
    assert (mask["reconstruct"], mask["score"]) == (5, 5)
    assert "simulate" not in mask


def test_other_metrics_score_again_and_reconstruct_nothing(finished: Path) -> None:
    jobs = planned(finished, {"metrics": {"ssim_window": 5}})
    assert "reconstruct" not in jobs
    assert jobs == {"score": 5, "model": 1, **REPORTED}


def test_other_fractions_read_no_scan_again(finished: Path) -> None:
    jobs = planned(finished, {"preparation": {"fractions": {"train": 0.4, "validation": 0.3, "test": 0.3}}})
    assert not {"simulate", "index", "shard", "mask"} & set(jobs)
    assert jobs["manifest"] == 5


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ("training: {optimisation: {precision: float8}}", "config: training.optimisation.precision is 'float8'"),
        ("distilation: {omega: 1}", "config: distilation: unknown key"),
        ("anatomies: {knee: {path: /nowhere/knee}}", "config: anatomies.knee.path: /nowhere/knee is no folder"),
        ("studies: {}\nstudies: {}", "wrong.yaml: 'studies' is given twice, in line 1 and in line 2"),
        ("anatomies: {knee: {path: 'a {b}'}}", "config: anatomies.knee.path is 'a {b}': braces are wildcards"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(finished: Path, overlay: str, says: str) -> None:
    path = finished.parent / "wrong.yaml"
    path.write_text(overlay)
    run = snakemake(finished, "-n", overlays=(path,))
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("unimri: ")]
    assert says in line
    assert "Traceback" not in run.stderr


def test_auto_on_a_machine_without_a_gpu_trains_nothing_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert planned(finished, {"training": {"device": "auto"}}) == {"report": 1}


def test_a_command_that_fails_before_a_pipe_fails_its_rule(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    overlay = tmp_path / "real.yaml"
    overlay.write_text("anatomies: {brain: {path: scans, reader: {format: dicom}}}\n")
    # And what killed jobs had begun to write is gone.
    left = [tmp_path / place for place in ("results-tiny/data/.partial-7-a.csv", "private-tiny/.partial-7-b/c.json")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    run = snakemake(tmp_path / "results-tiny", "--cores", "1", "private-tiny/brain/shard-000.json", overlays=(overlay,))
    assert run.returncode == 1
    assert "Error in rule index" in run.stderr
    assert "completed successfully" not in run.stderr
    assert "unimri: scans: " in run.stderr
    assert not any(path.exists() for path in (left[0], left[1].parent))
    assert left[0].parent.exists()


def test_a_bad_scan_stops_the_run_and_keeps_what_was_made(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.parent, tmp_path / "copy")
    finished = tmp_path / "copy" / finished.name
    scans = finished.parent / "scans"
    for patient in ("one", "two", "three"):
        (scans / patient).mkdir(parents=True)
        (scans / patient / "t2.nii.gz").write_bytes(b"not gzip")
    overlay = finished.parent / "real.yaml"
    reader = {"format": "nifti", "channel": None}
    overlay.write_text(yaml.safe_dump({"anatomies": {"prostate": {"path": str(scans), "reader": reader}}}))
    before = artifacts(finished)
    run = snakemake(finished, "--cores", "1", "--until", "shard", overlays=(overlay,))
    assert run.returncode == 1
    assert "t2.nii.gz: " in run.stderr
    assert "Traceback" not in run.stderr
    # Snakemake removes what the job that it runs again had made; nothing else goes, and nothing half written stays.
    after = artifacts(finished)
    assert after == {path: content for path, content in before.items() if "data/prostate/shard-000." not in path}
