"""How tests are divided among processes: by files, and those that share one run of the workflow together."""

from pathlib import Path

import pytest

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
