"""How tests are divided among processes: by files, and those that share one run of the workflow together; and a metric
that several folders of tests add."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import unimri.metrics

LATER = ("test_running.py", "test_report.py")


# Before xdist, which reads the groups in its own hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = Path(item.path)
        shared = "finished" in getattr(item, "fixturenames", ())
        group = "workflow" if shared else path.name
        item.add_marker(pytest.mark.xdist_group("workflow-later" if shared and path.name in LATER else group))
    # Those that run the whole workflow take longest, and so begin first; some that only look at that run begin last,
    # when it is there, so that one process is not left alone with all of them.
    items.sort(key=lambda item: (Path(item.path).name in LATER, Path(item.path).parent.name != "workflow"))


def pytest_collection_finish(session: pytest.Session) -> None:
    grouped = getattr(session.config.option, "loadgroup", False)
    if grouped and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError(
            "pytest-xdist does not group tests with this pytest; each process would run the workflow"
        )


MEAN_ERROR = """
import numpy as np

from unimri.metrics.base import Metric


class MeanError(Metric):
    name, column, title, unit = "mae", "mae_permille", "MAE", "‰"
    decimals = 3
    lower_is_better = True
    convention = "mean of |x - y| / R"
    reference = "none"
    in_table = True

    def slice(self, truth, image, settings):
        return 1000 * float(np.mean(np.abs(truth - image))) / settings.data_range
"""
"""All that a metric takes: one module."""


@pytest.fixture
def add_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds a metric for the length of a test: one file in the package, called as is said."""
    folder = tmp_path / "added"
    folder.mkdir()
    added = []

    def add(name: str = "mae") -> None:
        (folder / f"{name}.py").write_text(MEAN_ERROR, encoding="utf-8")
        added.append(f"unimri.metrics.{name}")
        monkeypatch.setattr(unimri.metrics, "__path__", [*unimri.metrics.__path__, str(folder)])

    yield add
    for module in added:
        sys.modules.pop(module, None)
