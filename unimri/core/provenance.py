"""What an artifact was made from: code, settings, inputs, versions."""

import ast
import hashlib
import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path

_PACKAGE = "unimri"
# As in pyproject.toml. On the public index `unimri` is another project.
DISTRIBUTION = "universal-mri-reconstruction"
_VERSIONED = ("h5py", "nibabel", "numpy", "pydicom", "scikit-image", "torch")


def versions(*further: str) -> dict[str, str]:
    """Versions of the libraries that results depend on, and of further ones."""
    return {name: _version(name) for name in _VERSIONED} | {
        _PACKAGE: _version(DISTRIBUTION),
        **{name: _version(name) for name in further},
    }


# A process asks for the same versions and code many times; neither changes while it runs.
@cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # The package itself may be run from a checkout, as in the environment of --sdm conda.
        return "not installed"


def code_digest(*modules: str) -> str:
    """Digest of modules and of all that they import inside the package, as 16 hexadecimal digits.

    A table beside a module, TOML of its name, is of its code. The digest changes with the code and not with comments,
    docstrings or layout, so that a rule that carries it as a parameter reruns when, and only when, what it runs has
    changed.
    """
    digest = hashlib.sha256()
    for name in sorted(set().union(*map(_closure, modules))):
        source = _source(name)
        assert source is not None
        digest.update(name.encode() + b"\0" + _parsed(source.read_text(encoding="utf-8"))[0])
        if (table := source.with_suffix(".toml")).is_file():
            digest.update(repr(tomllib.loads(table.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:16]


def files_digest(*folders: Path) -> str:
    """Digest of the names and bytes of all files below folders, as 16 hexadecimal digits: for what is no Python."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and _source(name) is not None:
            found.add(name)
            waiting += _imports(name)
    return found


def _imports(module: str) -> tuple[str, ...]:
    source = _source(module)
    assert source is not None
    return _parsed(source.read_text(encoding="utf-8"))[1]


def _source(module: str) -> Path | None:
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


# A plan asks for many fingerprints that share most of their modules.
@cache
def _parsed(text: str) -> tuple[bytes, tuple[str, ...]]:
    """Code without comments, docstrings and layout, and what it imports of the package."""
    tree = ast.parse(text)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return ast.dump(tree).encode(), tuple(name for name in names if name.split(".")[0] == _PACKAGE)
