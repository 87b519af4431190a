"""How tests are divided among processes: by files, and those that share one run of the workflow together."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Those that run the whole workflow take longest, and so begin first.
    items.sort(key=lambda item: Path(item.path).parent.name != "workflow")
    for item in items:
        path = Path(item.path)
        shared = "finished" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("workflow" if shared else path.name))
