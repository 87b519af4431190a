"""`unimri reuse` on hand-made checkouts, and on one in which Snakemake ran."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unimri.cli.__main__ import app
from unimri.core.errors import UnimriError
from unimri.core.locks import lock_folders
from unimri.workflow.reuse import Records, Reused, reuse, total

ROOT = Path(__file__).parents[2]
RESULTS, PRIVATE = Path("results"), Path("private")
MODEL = "results/4x/seed1/pretrained"
# By job: what it makes. The path of one is too long for the name of one record.
JOBS = {
    "manifest": ["results/data/brain/manifest.csv", "results/data/brain/sources.csv"],
    "pretrained": [f"{MODEL}/model.safetensors", f"{MODEL}/model.json", f"{MODEL}/aspin/brain.safetensors"],
    "tables": [f"results/tables/{'long' * 30}/{'name' * 30}.csv"],
    "report": ["results/report.html"],
}
SIMULATED = "results/simulated/brain"
# Long ago, and not a whole number of seconds.
MADE_NS = 1_600_000_000_123_456_789


def write(path: Path, text: str, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(MADE_NS, MADE_NS + number * 10**9))


def record(folder: Path, key: str, rule: str, start: float = 1.0) -> None:
    about = {"rule": rule, "log": [f"results/logs/{rule}.log"], "params": ["'a'"], "starttime": start}
    Records(folder).write(key, about | {"incomplete": False, "record_format_version": 6})


def records(folder: Path) -> dict[str, bytes]:
    files = [path for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def state(folder: Path) -> dict[str, tuple]:
    """Kind, time and content of all that is in a folder, and of the folder, but for the lock on its results."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        if path == folder / "results" or path.name.startswith(".lock"):
            continue
        about = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (about.st_mode, about.st_mtime_ns, content)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A finished checkout, with much beside its finished outputs."""
    source = tmp_path / "source"
    for number, (rule, keys) in enumerate(JOBS.items()):
        for key in keys:
            write(source / key, f"content of {key}", number)
            record(source, key, rule)
    for name in ("one/a.dcm", "one/b.dcm", "two/a.dcm"):
        write(source / SIMULATED / name, name)
    write(source / SIMULATED / ".snakemake_timestamp", "")
    record(source, SIMULATED, "simulate")
    for key in (
        "results/logs/pretrained.log",
        "results/benchmarks/pretrained.tsv",
        "results/checkpoints/1.safetensors",
    ):
        write(source / key, "no output")
    write(source / "private/brain/shard-000.json", "names")
    record(source, "private/brain/shard-000.json", "index")
    return source


@pytest.fixture
def here(tmp_path: Path) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    return here


def take(source: Path, here: Path, copy: bool = False) -> list[Reused]:
    return reuse(source, here, RESULTS, PRIVATE, copy)


OUTPUTS = [key for keys in JOBS.values() for key in keys]


def test_finished_outputs_are_linked_and_nothing_is_written_to_the_source(source: Path, here: Path) -> None:
    before = state(source)
    found = take(source, here)
    assert state(source) == before
    assert found == [
        Reused("4x", 3, 1, 0, 0),
        Reused("data", 2, 1, 0, 0),
        Reused("report.html", 1, 1, 0, 0),
        Reused("simulated", 3, 1, 0, 0),
        Reused("tables", 1, 1, 0, 0),
    ]
    assert total(found) == Reused("all", 10, 5, 0, 0)
    for key in OUTPUTS:
        assert (here / key).readlink() == source / key
        assert (here / key).lstat().st_mtime_ns == (source / key).stat().st_mtime_ns
    private = next(name for name in records(source) if name not in records(here))
    assert records(here) == {name: text for name, text in records(source).items() if name != private}
    files = {str(path.relative_to(here)) for path in here.rglob("*") if ".snakemake/" not in str(path)}
    assert not any("logs" in file or "private" in file or "checkpoints" in file for file in files)
    assert not any(path.is_symlink() for path in here.rglob("*") if path.is_dir())


def test_a_folder_that_is_an_output_is_a_folder_of_links(source: Path, here: Path) -> None:
    take(source, here)
    folder = here / SIMULATED
    assert (folder / "one/b.dcm").readlink() == source / SIMULATED / "one/b.dcm"
    # Snakemake writes to this one.
    assert not (folder / ".snakemake_timestamp").is_symlink()
    assert (folder / ".snakemake_timestamp").stat().st_mtime_ns == MADE_NS
    shutil.rmtree(folder)
    assert (source / SIMULATED / "one/b.dcm").is_file()


def test_what_is_not_finished_stays(source: Path, here: Path) -> None:
    Records(source).path("incomplete", "results/report.html").write_text("{}")
    (source / JOBS["tables"][0]).unlink()
    torn = Records(source).path("metadata", JOBS["manifest"][0])
    torn.write_text(torn.read_text()[:20])
    take(source, here)
    for key in ("results/report.html", JOBS["tables"][0], JOBS["manifest"][0]):
        assert not (here / key).exists()
    assert (here / JOBS["manifest"][1]).is_file()


def test_nothing_private_is_taken_from_below_the_results(source: Path, here: Path) -> None:
    write(source / "results/private/brain/shard-000.json", "names")
    record(source, "results/private/brain/shard-000.json", "index")
    reuse(source, here, RESULTS, Path("results/private"))
    assert not (here / "results/private").exists()
    assert len(records(here)) == len(OUTPUTS) + 1


@pytest.mark.parametrize("copy", [False, True])
def test_a_second_time_changes_nothing(source: Path, here: Path, copy: bool) -> None:
    take(source, here, copy)
    before = state(here)
    assert total(take(source, here, copy)) == Reused("all", 0, 0, 5, 0)
    assert state(here) == before


def test_a_job_of_which_anything_was_made_here_is_left_alone(source: Path, here: Path) -> None:
    write(here / MODEL / "model.json", "mine")
    record(here, f"{MODEL}/model.json", "pretrained", start=2.0)
    before = state(here / MODEL)
    assert take(source, here)[0] == Reused("4x", 0, 0, 0, 1)
    assert state(here / MODEL) == before
    assert (here / "results/report.html").is_symlink()


def test_copies_can_be_written_and_need_the_source_no_more(source: Path, here: Path) -> None:
    for path in source.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        take(source, here)
        assert total(take(source, here, copy=True)).files == 10
    finally:
        for path in (source, *source.rglob("*")):
            path.chmod(0o755)
    assert not [path for path in here.rglob("*") if path.is_symlink()]
    for key in [*OUTPUTS, f"{SIMULATED}/two/a.dcm"]:
        assert (here / key).read_bytes() == (source / key).read_bytes()
        assert (here / key).stat().st_mtime_ns == (source / key).stat().st_mtime_ns
        assert (here / key).stat().st_mode & 0o200
    assert total(take(source, here)).files == 0


def test_links_to_a_source_that_has_moved_are_made_again(source: Path, here: Path) -> None:
    take(source, here)
    moved = source.rename(source.with_name("moved"))
    assert total(take(moved, here)).files == 10
    assert (here / OUTPUTS[0]).readlink() == moved / OUTPUTS[0]
    assert (here / SIMULATED / "one/a.dcm").read_text() == "one/a.dcm"


def test_what_the_source_has_made_again_is_taken_again(source: Path, here: Path) -> None:
    take(source, here)
    for number, key in enumerate((*JOBS["manifest"], SIMULATED)):
        record(source, key, "manifest" if number < 2 else "simulate", start=5.0)
    write(source / JOBS["manifest"][0], "again", 50)
    write(source / SIMULATED / "three/a.dcm", "again")
    found = {part.folder: part.files for part in take(source, here)}
    assert found == {"4x": 0, "data": 2, "report.html": 0, "simulated": 4, "tables": 0}
    assert (here / JOBS["manifest"][0]).lstat().st_mtime_ns == MADE_NS + 50 * 10**9
    assert (here / SIMULATED / "three/a.dcm").is_file()
    assert set(records(here).items()) <= set(records(source).items())


@pytest.mark.parametrize("copy", [False, True])
def test_wherever_it_is_killed_no_file_lacks_its_record(
    source: Path, here: Path, monkeypatch: pytest.MonkeyPatch, copy: bool
) -> None:
    take(source, here.with_name("whole"), copy)
    own, steps = os.utime, 0

    def dies(after: int):
        done = 0

        def utime(*arguments, **options):
            nonlocal done
            done += 1
            if done > after:
                raise KeyboardInterrupt
            own(*arguments, **options)

        return utime

    while True:
        with monkeypatch.context() as patched:
            patched.setattr(os, "utime", dies(steps))
            try:
                take(source, here, copy)
                break
            except KeyboardInterrupt:
                made = [key for key in (*OUTPUTS, SIMULATED) if (here / key).exists()]
                assert all(Records(here).read(key) is not None for key in made)
                assert not list(here.rglob(".partial-*"))
        shutil.rmtree(here)
        steps += 1
    assert steps == 14
    # Killed after one, and then again to the end.
    shutil.rmtree(here)
    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", dies(2))
        with pytest.raises(KeyboardInterrupt):
            take(source, here, copy)
    leftover = here / "results/simulated/.partial-1-brain/one"
    leftover.mkdir(parents=True)
    take(source, here, copy)
    assert records(here) == records(here.with_name("whole"))
    names = {str(path.relative_to(here)) for path in here.rglob("*")}
    assert names == {str(path.relative_to(here.with_name("whole"))) for path in here.with_name("whole").rglob("*")}


def test_what_lies_behind_links_is_found_where_it_is(source: Path, here: Path, tmp_path: Path) -> None:
    shutil.move(source / "results/data", tmp_path / "disk")
    (source / "results/data").symlink_to(tmp_path / "disk")
    take(source, here)
    assert (here / "results/data/brain/manifest.csv").readlink() == tmp_path / "disk/brain/manifest.csv"
    # One who reuses what was reused needs the first alone.
    third = tmp_path / "third"
    third.mkdir()
    take(here, third)
    assert (third / OUTPUTS[2]).readlink() == source / OUTPUTS[2]
    assert (third / SIMULATED / "one/a.dcm").readlink() == source / SIMULATED / "one/a.dcm"


def fails(says: str, source: Path, here: Path, results: Path = RESULTS) -> None:
    before = state(here)
    with pytest.raises(UnimriError, match=says):
        reuse(source, here, results, PRIVATE)
    assert state(here) == before


def test_what_cannot_be_reused_is_said_with_the_mend(source: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails("results is /data/results: only a folder below", source, here, Path("/data/results"))
    fails(r"results is \.\./results: only", source, here, Path("../results"))
    fails("nowhere: no such folder; give the folder in which", source.with_name("nowhere"), here)
    fails("Snakemake has kept no records there", here, source)
    fails("results-mine: no such folder; `results` must be the same", source, here, Path("results-mine"))
    fails("these are the results of this very folder", source, source)
    (here / "results").symlink_to(source / "results")
    fails("these are the results of this very folder", source, here)
    (here / "results").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: Path(path).name != "a.dcm")
        fails(r"a\.dcm: cannot be read; let its owner run `chmod -R a\+rX results \.snakemake`", source, here)
    for path in (source / "results").iterdir():
        path.rename(path.with_name(f"not-{path.name}"))
    fails("holds no finished output; run snakemake there first", source, here)


def test_nothing_is_reused_while_snakemake_runs_here(source: Path, here: Path) -> None:
    (lock,) = lock_folders(here / "results")
    with pytest.raises(UnimriError, match="another Snakemake works on it"):
        take(source, here)
    assert {path.name for path in (here / "results").iterdir()} == {".lock", ".lock.json"}
    lock.release()
    assert take(source, here)


TOY = """
rule first:
    output: "results/first.txt", directory("results/folder")
    log: "results/logs/first.log"
    params: number=1
    shell: "echo {params.number} | tee {output[0]} > {log}; mkdir -p {output[1]}/inner; touch {output[1]}/inner/file"

rule second:
    input: "results/first.txt", "results/folder"
    output: f"results/{'long' * 30}/{'name' * 30}.txt"
    shell: "cp {input[0]} {output}"
"""


def test_snakemake_takes_what_is_reused_for_its_own(tmp_path: Path) -> None:
    source, here = tmp_path / "source", tmp_path / "here"

    def snakemake(folder: Path, *options: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--nocolor", *options, "second"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    for folder in (source, here):
        folder.mkdir()
        (folder / "Snakefile").write_text(TOY)
    snakemake(source, "--cores", "1")
    assert total(take(source, here)).jobs == 2
    said = snakemake(here, "--dry-run")
    assert "Nothing to be done" in said
    assert "metadata" not in said
    (here / "Snakefile").write_text(TOY.replace("number=1", "number=2"))
    assert "Params have changed since last execution" in snakemake(here, "--dry-run")


def test_the_command_says_what_it_did(source: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    (here / "own.yaml").write_text(f"results: {RESULTS}\nprivate: {PRIVATE}\n")
    configs = [str(ROOT / "config.yaml"), str(ROOT / "workflow/config/tiny.yaml"), "own.yaml"]
    run = CliRunner().invoke(app, ["reuse", "../source", *configs], catch_exceptions=False)
    assert run.stdout.splitlines()[1].split() == ["4x", "3", "1", "0", "0"]
    assert "Linked 10 files of 5 jobs; 0 jobs were here already, and 0 made here" in run.stdout
    assert "`snakemake -n` shows" in run.stdout
    assert run.stderr == ""
    assert (here / "results/report.html").readlink() == source / "results/report.html"
