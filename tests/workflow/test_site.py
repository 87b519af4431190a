from pathlib import Path

import pytest
import yte

from unimri.core.errors import UnimriError
from unimri.workflow.jobs import Site, read_site

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIMRI_SITE", str(tmp_path / "site.yaml"))
    return tmp_path / "site.yaml"


def profile() -> dict:
    with (ROOT / "workflow/profiles/slurm/config.yaml").open() as file:
        return yte.process_yaml(file, require_use_yte=True)


def test_without_a_file_the_defaults_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIMRI_SITE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_site() == Site()
    (tmp_path / "site.yaml").write_text("partition: long")
    assert read_site().partition == "long"


def test_the_profile_holds_what_the_site_says(site: Path) -> None:
    site.write_text(
        "{account: all, partition: my-cpu, gpu_partition: my-gpu, jobs: 7, resources: {model: {runtime: 9}}}"
    )
    filled = profile()
    assert filled["jobs"] == 7
    # As Python expressions, or `all` would be the function of that name.
    named = {"slurm_account": "'all'", "slurm_partition": "'my-cpu'", "gpu_partition": "'my-gpu'"}
    assert filled["default-resources"] == named
    assert filled["set-resources"] == {"model": {"runtime": 9}}


@pytest.mark.parametrize(
    ("asked", "answers", "known"), [("", True, "sacct"), ("", False, "squeue"), ("squeue", True, "squeue")]
)
def test_accounts_of_jobs_are_asked_for_where_they_are_kept(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, answers: bool, known: str
) -> None:
    (tmp_path / "sacct").write_text(
        "#!/bin/sh\necho Slurm accounting storage is disabled >&2\n" + f"exit {1 - answers}"
    )
    (tmp_path / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    site.write_text(f"{{status_command: {asked}}}")
    assert profile()["unimri-slurm-status-command"] == known
    if not answers:
        site.write_text("{status_command: sacct}")
        with pytest.raises(Exception, match=r"sacct does not answer .* is disabled.*; write squeue"):
            profile()


def test_a_site_that_says_nothing_leaves_out_what_snakemake_would_refuse(site: Path) -> None:
    site.write_text("{jobs: 1}")
    assert profile()["default-resources"] is None
    assert profile()["set-resources"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{jobs: 0}", "jobs is 0: input should be greater than or equal to 1"),
        ("{partitions: cpu}", "partitions: unknown key"),
        ("{status_command: sstat}", "status_command is 'sstat'"),
        ("just text", "holds no settings"),
        ("{", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_reported_in_one_line(site: Path, text: str, says: str) -> None:
    site.write_text(text)
    with pytest.raises(UnimriError) as fault:
        read_site()
    assert says in str(fault.value)
    assert str(site) in str(fault.value)


def test_a_file_that_is_named_and_missing_is_an_error(site: Path) -> None:
    with pytest.raises(UnimriError, match=r"UNIMRI_SITE: .* is no file"):
        read_site()
