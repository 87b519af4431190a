"""The house: which room may import which, so that arrows point down, and nothing goes in a circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import unimri

ROOT = Path(unimri.__file__).parent

# What a room stands on. It may import that, and what that stands on. The picture is docs/why/how-it-works.md's.
HOUSE = {
    "core": [],
    "physics": ["core"],
    "io": ["physics"],
    "data": ["io"],
    "models": ["physics"],
    "metrics": ["core"],
    "training": ["data", "models", "metrics"],
    "classical": ["data", "metrics"],
    "deploy": ["training"],
    "evaluation": ["deploy", "classical"],
    "report": ["evaluation"],
    "config": ["evaluation"],
    "workflow": ["config", "report"],
    "cli": ["workflow"],
    # The public names, loaded when they are asked for.
    "__init__": ["deploy"],
}


def room(module: str) -> str:
    """Of a dotted name below `unimri`."""
    return module.split(".")[1] if "." in module else "__init__"


def below(name: str) -> set[str]:
    """A room and all that it stands on."""
    return {name}.union(*(below(lower) for lower in HOUSE[name]))


def modules() -> dict[str, Path]:
    """Files by dotted name; a package is called as its folder is."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports anywhere: at its top, in a function, for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports relatively"
            names = [
                below if (below := f"{node.module}.{alias.name}") in MODULES else str(node.module)
                for alias in node.names
            ]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "unimri")


IMPORTS = {name: set(imports(path)) for name, path in MODULES.items()}


def test_the_root_holds_rooms_and_the_configuration_alone():
    there = {path.name for path in ROOT.iterdir()} - {"__pycache__"}
    assert there == {"__init__.py", "config.py", "py.typed"} | set(HOUSE) - {"__init__", "config"}


def test_the_picture_shows_every_room():
    picture = (ROOT.parent / "docs/why/how-it-works.md").read_text(encoding="utf-8")
    shown = picture[picture.index("## Where to find what") :].split("```")[1]
    named = re.findall(r"^  (\w+)(?:\.py|/)", shown, re.MULTILINE)
    assert sorted(named) == sorted(HOUSE)
    # From the top down: what comes later stands on nothing that came before.
    rooms = [name for name in named if name not in ("__init__", "config")]
    assert not [
        (name, lower) for place, name in enumerate(rooms) for lower in rooms[place:] if name in below(lower) - {lower}
    ]


@pytest.mark.parametrize("name", HOUSE)
def test_arrows_point_down(name):
    wrong = [
        f"{module} imports {imported}"
        for module, found in IMPORTS.items()
        for imported in sorted(found)
        if room(module) == name and room(imported) not in below(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_goes_in_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as circle:
        pytest.fail(f"{' <- '.join(circle.args[1])}")


def test_packages_load_nothing_by_themselves():
    """A fingerprint of code follows imports: what a package's `__init__` imports would be in that of each module."""
    full = [name for name, path in MODULES.items() if path.name == "__init__.py" and name != "unimri" and IMPORTS[name]]
    assert not full
