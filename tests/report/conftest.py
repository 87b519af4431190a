import copy
from pathlib import Path
from typing import Any

import pytest
from experiment import CONFIG, Experiment


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """A results folder with Table 1 alone; more is written by its methods."""
    written = Experiment(tmp_path / "results")
    written.table1()
    return written


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an experiment that has everything."""
    from unimri.report.page import write_report

    written = Experiment(tmp_path_factory.mktemp("report") / "results")
    written.whole()
    output = written.results / "report.html"
    write_report(written.results, CONFIG, output)
    return output
