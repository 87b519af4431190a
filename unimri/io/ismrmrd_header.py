"""The XML header of ISMRMRD, which fastMRI's files hold too (https://ismrmrd.readthedocs.io)."""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from unimri.io.errors import AGAIN, ReadError

# In characters. Scanners write some 100 kB, most of it the protocol.
MAX_LENGTH = 2**24


def parse_header(stored: str | bytes, path: Path) -> Element:
    """Parse a header.

    A document type is refused, whatever it declares: entities, which can make gigabytes of a few lines or
    name other files, need one, and ISMRMRD has none.

    Raises
    ------
    ReadError
        When it is too long, is no XML in UTF-8, or has a document type.
    """
    try:
        # As text, so that no declared encoding can hide what is looked for.
        text = stored.decode("utf-8") if isinstance(stored, bytes) else stored
        if len(text) > MAX_LENGTH:
            raise ReadError(path, "its header is too long", AGAIN)
        if "<!DOCTYPE" in text:
            raise ReadError(path, "its header has a document type", "remove it: ISMRMRD headers have none")
        return ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise ReadError(path, "its header is no XML", AGAIN) from error


def text_at(root: Element, place: str) -> str:
    """Stripped text of the first element at `place` ("encoding/trajectory"); blank where there is none."""
    steps = "/".join(f"{{*}}{step}" for step in place.split("/"))
    return (root.findtext(steps) or "").strip()


def number_at(root: Element, place: str, path: Path) -> int:
    """Integer >= 0 at `place` of the header.

    Raises
    ------
    ReadError
        When there is none.
    """
    text = text_at(root, place)
    # Counts of lines and pixels: more digits mean damage.
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ReadError(path, f"its header has no {place}", "export the file again")
    return int(text)


def matrix(root: Element, space: str, path: Path) -> tuple[int, int]:
    """Points along readout and phase encoding of "encodedSpace" or "reconSpace".

    Raises
    ------
    ReadError
        When the header does not say, or says 0.
    """
    x, y = (number_at(root, f"encoding/{space}/matrixSize/{axis}", path) for axis in "xy")
    if min(x, y) < 1:
        raise ReadError(path, f"its header declares an empty {space}", "export the file again")
    return x, y
