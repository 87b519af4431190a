"""How many parameters each method needs (the paper's section 3.4)."""

from pathlib import Path

import pandas as pd

from unimri.core.artifacts import write_text
from unimri.evaluation.text import markdown_table, write_csv
from unimri.training.methods import method

PAPERS_PARAMETERS = (144650, 1280, 5)
"""The paper's own: of its backbone, of a set of ASPIN, and how many anatomies it has."""


def parameter_table(backbone: int, aspin: int, anatomies: int) -> pd.DataFrame:
    """Count the parameters with which each method reconstructs all anatomies.

    Parameters
    ----------
    backbone : parameters of one backbone without ASPIN; the paper's D5C5 has 144,650.
    aspin : parameters of one anatomy's set of ASPIN; the paper's has 1,280.
    anatomies : number of anatomies.

    Returns
    -------
    frame with the columns method (key), parameters (int, in all), times_backbone (in all, in units of one
    backbone), for_each_anatomy (int, what one more anatomy adds) and for_each_anatomy_percent (the same, in
    percent of one backbone).
    """
    rows = [
        ("shared", backbone, 0),
        ("independent", anatomies * backbone, backbone),
        ("proposed", backbone + anatomies * aspin, aspin),
    ]
    return pd.DataFrame(
        [(key, total, total / backbone, added, 100 * added / backbone) for key, total, added in rows],
        columns=["method", "parameters", "times_backbone", "for_each_anatomy", "for_each_anatomy_percent"],
    )


def write_parameters(backbone: int, aspin: int, anatomies: int, output: Path) -> None:
    """Write `parameters.csv` and `parameters.md` to the folder `output`; arguments as `parameter_table`."""
    table = parameter_table(backbone, aspin, anatomies)
    write_csv(output / "parameters.csv", table)
    body = markdown_table(
        ["Method", "Parameters", "In backbones", "Added for each anatomy", "% of a backbone"],
        [
            [method(key).title, f"{total:,}", f"{times:.2f}×", f"{added:,}", f"{percent:.2f}"]
            for key, total, times, added, percent in table.itertuples(index=False)
        ],
    )
    caption = (
        f"For {anatomies} anatomies. One backbone has {backbone:,} parameters and one anatomy's set of ASPIN "
        f"{aspin:,}, which is {100 * aspin / backbone:.2f} % of it. The paper (section 3.4) counts 144,650 "
        'and 1,280, and says that this is "less than 0.1%": a slip, 1,280 / 144,650 is 0.88 %.'
    )
    write_text(output / "parameters.md", f"# Parameters\n\n{body}\n\n{caption}\n")
