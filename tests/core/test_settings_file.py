import os

import pytest

from unimri.core.errors import UnimriError
from unimri.core.settings_file import read_yaml


def told(path):
    with pytest.raises(UnimriError) as fault:
        read_yaml(path)
    assert str(fault.value).startswith(f"{path}: ")
    return str(fault.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' is given twice, in line 1 and in line 3"),
        ("top:\n  deep:\n  - x: 1\n    y: 2\n    x: 3\n", "'x' is given twice, in line 3 and in line 5"),
        ("top: {a: 1, 'a': 2}\n", "'a' is given twice, in line 1 and in line 1"),
        ("base: &base {a: 1}\nb: {<<: {c: 1, c: 2}, <<: *base}\n", "is given twice"),
        ("a: &a {b: *a}\n", "stands in what it stands for"),
        ("a: &a [*a]\n", "stands in what it stands for"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("a:\n" + "".join(" " * depth + "- \n" for depth in range(1, 400)), "nested deeper"),
        ("a: " + "{b: " * 5000, "nested deeper"),
        ("a: [" + "1," * 100_000 + "]\n", "stands for more than"),
        ("a: " + "x" * 1_100_000, "larger than"),
        ("a: 2001-99-99\n", "cannot be read as YAML"),
        ("a: " + "9" * 5000, "cannot be read as YAML"),
        ("a: !!python/name:os.system\n", "cannot be read as YAML"),
        ("a: 1\n---\na: 2\n", "cannot be read as YAML"),
        ("a: \x1b[2J\n", "cannot be read as YAML"),
        ("{[a]: 1}", "cannot be read as YAML"),
    ],
    ids=lambda text: text[:30],
)
def test_what_nobody_writes_by_hand_is_told_in_a_line(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    said = told(path)
    assert says in said
    assert said.isprintable()
    assert len(said) < 1000


def test_aliases_that_stand_for_endless_values_are_told(tmp_path):
    lines = ["a0: &a0 {a: 1, b: 1, c: 1, d: 1}"]
    lines += [f"a{k}: &a{k} {{{', '.join(f'{key}: *a{k - 1}' for key in 'abcd')}}}" for k in range(1, 30)]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    assert "stands for more than" in told(path)


def test_aliases_and_merges_that_settings_are_written_with_are_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: *one\nthree:\n  <<: *one\n  b: 3\n")
    assert read_yaml(path) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 2}, "three": {"a": 1, "b": 3}}


def test_a_missing_file_is_said_to_be_missing_and_where_to_call_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = told(tmp_path / "config.yaml")
    assert "no such file" in said
    assert "checkout" in said
    assert str(tmp_path) in said


def test_a_folder_and_a_pipe_are_no_files(tmp_path):
    assert "is no file" in told(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is no file" in told(tmp_path / "pipe.yaml")
