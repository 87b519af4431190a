"""The page's own files: templates, style, script, and the libraries that go into it."""

from pathlib import Path

from unimri.core.provenance import files_digest

FOLDER = Path(__file__).parent
_FOLDERS = ("templates", "static", "vendor")
_LIBRARIES = ("sortable-tablesort/sortable.js", "image-compare/image-compare.js")


def assets_digest() -> str:
    """Digest of those files, as 16 hexadecimal digits: with the code's, what the page is made by."""
    return files_digest(*(FOLDER / folder for folder in _FOLDERS))


def style() -> str:
    """The page's style sheet."""
    return _read("static/style.css")


def scripts() -> list[str]:
    """What the page runs, in order: the libraries, each with its licence, then the page's own lines."""
    libraries = [
        f"/*!\n{_read(f'vendor/{Path(library).parent}/LICENSE').strip()}\n*/\n{_read(f'vendor/{library}')}"
        for library in _LIBRARIES
    ]
    return [*libraries, _read("static/report.js")]


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
