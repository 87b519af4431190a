"""Every block of code in README.md and docs/ is run, or held against the program that would run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from blocks import ROOT, Block, blocks, commands_in_the_text
from calls import call
from latex2mathml.converter import convert
from snakemake.cli import get_argument_parser
from typer.main import get_command

from unimri.cli.__main__ import app
from unimri.config import load_config

# A block with a title is the file of that name, or a part of it. These are files of the reader's own.
OWN_FILES = ("my-profile/config.yaml",)
# They need no cluster, no network and no long time, and touch nothing outside the folder that they run in.
RUN = ("inspect", "reconstruct", "adapt", "models", "aspins", "--version")
# Their least.
QUICK = {"adapt": ("--epochs", "1")}
# Of these only the words are looked at.
STAND_INS = ("git", "make", "snakemake", "unimri", "python", "pip", "docker", "apptainer", "tmux", "squeue", "tail")
STAND_IN = """#!/bin/sh
printf '%s\\037' "${0##*/}" "$@" >> "$RECORD"
printf '\\036' >> "$RECORD"
if [ "${0##*/} $1" = "git clone" ]; then
  for folder; do :; done
  cp -R "$CLONE" "$folder"
fi
"""


def quoted(block: Block) -> bool:
    return bool(block.title) and block.title not in OWN_FILES


def executed(*kinds: str) -> list[object]:
    return [pytest.param(block, id=str(block)) for block in blocks(*kinds) if not quoted(block)]


def test_every_block_is_of_a_kind_that_is_checked():
    unknown = [block for block in blocks() if block.kind not in ("bash", "python", "yaml", "math", "text")]
    assert not [str(block) for block in unknown if not quoted(block)]


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in blocks() if quoted(block)])
def test_blocks_with_a_title_are_what_the_file_says(block):
    assert block.text.rstrip() in (ROOT / block.title).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", executed("python"))
def test_python_runs(block, checkout, data, monkeypatch):
    monkeypatch.chdir(checkout)
    if "onnxruntime" in block.text:
        pytest.importorskip("onnxruntime")
    exec(compile(block.text.replace("/data/", f"{data}/"), str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", executed("yaml"))
def test_yaml_is_an_overlay_or_a_profile(block, tmp_path):
    if block.title:
        known = {option for action in get_argument_parser()._actions for option in action.option_strings}
        profile = yaml.safe_load(block.text)
        of_plugin = f"{profile['executor']}-"
        assert not [key for key in profile if f"--{key}" not in known and not key.startswith(of_plugin)]
        for key, command in profile.items():
            if key.startswith(of_plugin):
                subprocess.run(["sh", "-n", "-c", command], check=True)
        return
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(block.text)
    default = load_config(ROOT / "config.yaml")
    assert load_config(ROOT / "config.yaml", overlay) != default


@pytest.mark.parametrize("block", executed("math"))
def test_equations_are_well_formed(block):
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(convert(block.text)).iter()}
    assert "math" in tags
    # What the converter does not know it leaves as it was.
    assert "\\" not in convert(block.text)


@pytest.mark.parametrize("block", executed("bash"))
def test_shell_runs_with_stand_ins_and_its_commands_are_right(block, checkout, data, tmp_path, monkeypatch):
    # Where a user's own models lie.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("UNIMRI_MODELS", raising=False)
    monkeypatch.chdir(checkout)
    group = tmp_path / "group"
    script = block.text.replace("/data/", f"{data}/").replace("/group/", f"{group}/")
    ran = run_with_stand_ins(script, checkout, tmp_path)
    assert ran
    for program, *words in ran:
        check_command(program, [word for word in words if word != "..."], checkout)


def run_with_stand_ins(script: str, checkout: Path, folder: Path) -> list[list[str]]:
    """Run a shell script and give back the commands, word by word, that stand-ins were called with."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in STAND_INS:
        (bin_folder / name).write_text(STAND_IN)
        (bin_folder / name).chmod(0o755)
    record = folder / "record"
    record.touch()
    clone = shutil.copytree(checkout, folder / "clone", symlinks=True)
    # What begins with a clone begins in a folder of its own.
    start = folder / "start" if "git clone" in script else checkout
    start.mkdir(exist_ok=True)
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "RECORD": str(record), "CLONE": str(clone)}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=start, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\x1f")[:-1] for line in record.read_text().split("\x1e") if line]


def check_command(program: str, words: list[str], checkout: Path) -> None:
    """Hold a command against its program; run it if it is harmless."""
    for word in words:
        if word.startswith(("envs", "workflow/")):
            assert (ROOT / word).exists(), word
    if program == "tmux":
        check_command(words[1], words[2:], checkout)
    elif program == "make":
        environment = os.environ | {"PYTHON": sys.executable}
        subprocess.run(["make", "--dry-run", *words], cwd=checkout, env=environment, check=True, capture_output=True)
    elif program == "snakemake":
        given = get_argument_parser().parse_args(words)
        for overlay in given.configfile or []:
            assert (checkout / overlay).is_file() or Path(overlay).name == "omega.yaml"
    elif program == "python":
        # Help is given before the rest is read.
        known = subprocess.run([sys.executable, ROOT / words[0], "--help"], check=True, capture_output=True, text=True)
        assert not [word for word in words[1:] if word.startswith("--") and word not in known.stdout]
    elif program == "unimri":
        parse(words)
        if words[0] in RUN:
            result = call(*words, *QUICK.get(words[0], ()))
            assert (result.status, result.err) == (0, "")


def parse(words: list[str]) -> None:
    """Parse a command of `unimri` as it would be, without running it; SystemExit or a usage error when it is wrong."""
    command, context = get_command(app), None
    if words[0].startswith("--"):
        assert {words[0]} <= {option for parameter in command.params for option in parameter.opts}
        return
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not hasattr(command, "commands"):
            return
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize(("page", "words"), [(page, words) for page, words in commands_in_the_text("unimri")])
def test_commands_in_the_text_are_there_with_their_options(page, words):
    command = get_command(app)
    for word in words:
        if word.startswith("--"):
            assert word in {option for parameter in command.params for option in parameter.opts} | {"--help"}
        elif hasattr(command, "commands") and not word.isupper():
            command = command.commands[word]


def test_wrong_commands_would_be_noticed(checkout):
    with pytest.raises(Exception, match="--readr"):
        check_command("unimri", ["inspect", "folder", "--readr", "dicom"], checkout)
    with pytest.raises(SystemExit):
        check_command("snakemake", ["--configfiel", "config.yaml"], checkout)
    with pytest.raises(subprocess.CalledProcessError):
        check_command("make", ["reproduse"], checkout)


def test_the_readmes_overlay_is_planned_for_a_real_folder(checkout, data):
    (block,) = blocks("yaml")[:1]
    assert block.page == "README.md"
    overlay = checkout / "mine.yaml"
    overlay.write_text(block.text.replace("/data/", f"{data}/"))
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--quiet", "all", "--configfile", "config.yaml"]
    planned = subprocess.run(
        [*command, "workflow/config/tiny.yaml", overlay], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr[-2000:]
