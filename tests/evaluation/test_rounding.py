"""A number is rounded once, by one function, and reads alike wherever it stands."""

import pandas as pd
import pytest
from scores import row, shown, write_scores, write_tables

from unimri.core.text import decimals, interval_number, spread_number
from unimri.evaluation.tables import format_table1_for_terminal
from unimri.metrics.base import MetricSettings

ORIGINS = {"hand": "simulated"}


@pytest.mark.parametrize(("value", "text"), [(37.245004, "37.25"), (37.244999, "37.24"), (37.245, "37.24")])
def test_a_number_reads_alike_wherever_it_stands(value, text, tmp_path):
    rows = [row(4, 7, key, "hand", volume, 0, value, value) for key in ("shared", "proposed") for volume in "ab"]
    write_scores(tmp_path / "a.csv", pd.DataFrame(rows))
    write_tables([tmp_path / "a.csv"], ORIGINS, tmp_path)
    everywhere = [
        *shown("table1.csv", tmp_path)[1],
        *shown("table_s2.csv", tmp_path)[1],
        *(cell for cell in shown("conventions.csv", tmp_path)[1] if cell.startswith("37")),
        *(
            cell.strip()
            for name in ("table1", "table_s2")
            for cell in (tmp_path / f"{name}.md").read_text().split("|")
            if cell.strip().startswith("37")
        ),
        *(word for word in format_table1_for_terminal(tmp_path, ORIGINS).split() if word.startswith("37")),
    ]
    assert len(everywhere) > 30
    assert {cell.strip("*") for cell in everywhere} == {text}


def test_a_small_error_reads_alike_in_table_1_and_the_conventions(tmp_path):
    # To six decimals it would be 0.001250, which reads 0.0013.
    rows = [row(4, 7, "proposed", "hand", volume, 0, 30, 90)._replace(nmse=0.00124997) for volume in "ab"]
    write_scores(tmp_path / "a.csv", pd.DataFrame(rows))
    write_tables([tmp_path / "a.csv"], ORIGINS, tmp_path, settings=MetricSettings(table=["psnr", "ssim", "nmse"]))
    assert [text for text in shown("table1.csv", tmp_path)[1] if text.startswith("0")] == ["0.0012"] * 2
    assert [text for text in shown("conventions.csv", tmp_path)[1] if text.startswith("0")] == ["0.0012"] * 4
    assert "0.0012" in (tmp_path / "table1.md").read_text()


def test_one_function_gives_scores_and_differences():
    assert decimals(37.245004) == "37.25"
    assert decimals(float("nan")) == "–"
    assert decimals(-0.004, signed=True) == "0.00"
    assert decimals(-1234.5, 1, signed=True) == "−1,234.5"
    assert spread_number(37.245004, 0.126, mark="**") == "**37.25** ± 0.13"
    assert interval_number(0.5, -0.25, 1, 1) == "+0.5 [−0.2, +1.0]"
