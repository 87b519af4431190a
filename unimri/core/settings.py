"""What all typed settings share. Each section's settings stand beside the code that they steer."""

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from unimri.core.errors import UnimriError

T = TypeVar("T")

AnatomyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
"""Names an anatomy, its files and its parts of a network."""

# More than any number that is measured, and less than what a float holds.
_LARGEST = 1e300

# A value in an error; the whole of it may be a file's.
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlist = _SHORT.maxtuple = 20
# Faults that one error tells, and keys that are named in place of an unknown one.
_TOLD, _NEAR = 20, 2


class Settings(BaseModel):
    """A section of the configuration: unknown keys are an error, values cannot be changed after loading.

    Numbers are finite: NaN passes every comparison that follows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse_json(text: str) -> Any:
    """JSON that others wrote.

    Raises
    ------
    ValueError : when it is none, is nested deeper than Python's stack, or has numbers of more digits than that reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def check_plain(content: Any, place: str = "") -> Any:
    """Give content that others wrote back, if it can be shown and computed with.

    Raises
    ------
    ValueError : when a text in it has control characters, or a number is not finite or too large for a float. It names
        the place.
    """
    if isinstance(content, str) and not content.isprintable():
        raise ValueError(f"{place}: a text with control characters")
    if isinstance(content, int | float) and not -_LARGEST < content < _LARGEST:
        raise ValueError(f"{place}: a number that is not finite")
    if isinstance(content, dict | list):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in parts:
            check_plain(key, place)
            check_plain(part, f"{place}.{key}".removeprefix("."))
    return content


def parse_settings(kind: type[T], content: str | dict[str, Any], source: str) -> T:
    """Validate settings.

    Parameters
    ----------
    kind : the type to make, a `Settings` or a union of some.
    content : a dictionary, or JSON text of one.
    source : where the settings stand, for the error: "config", an option of the command line.

    Raises
    ------
    UnimriError : one line with, for each fault, the key, the value and what is allowed.
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_json(content) if isinstance(content, str) else adapter.validate_python(content)
    except ValidationError as fault:
        known = _keys(kind)
        told = [f"{source}: {_describe(error, known, source)}" for error in fault.errors()]
        more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        raise UnimriError("; ".join(told[:_TOLD] + more)) from None


def read_settings(kind: type[T], path: Path, again: str) -> T:
    """Validate the JSON of a file that we wrote.

    Parameters
    ----------
    kind : as in `parse_settings`.
    path : the file.
    again : what to do when it is missing or damaged.

    Raises
    ------
    UnimriError : when it is.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnimriError(f"{path}: cannot be read; {again}") from error
    try:
        return parse_settings(kind, text, str(path))
    except UnimriError as error:
        raise UnimriError(f"{error}; {again}") from None


def differences(before: Mapping[str, Any], now: Mapping[str, Any], but: Collection[str] = ()) -> list[str]:
    """What differs between two dictionaries of settings, in words, but for some dotted keys."""
    old, new = flat(before), flat(now)
    return [
        f"{key} was {old.get(key)}, now {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if key not in but and old.get(key) != new.get(key)
    ]


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values of nested settings by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _describe(error: Any, known: dict[str, Any], source: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = _near(error["loc"], known)
        meant = f" (did you mean {' or '.join(near)}?)" if near else ""
        way = ", or set it to null in your overlay to take it out" if source == "config" else ""
        return f"{key}: unknown key{meant}; check its spelling{way}"
    if error["type"] == "missing":
        return f"{key}: missing; it must be given"
    message = error["msg"].removeprefix("Value error, ")
    # Of damaged JSON the input is all of it.
    shown = not isinstance(error["input"], dict) and error["type"] != "json_invalid"
    value = f" is {_SHORT.repr(error['input'])}" if shown else ""
    return f"{key}{value}: {message[0].lower()}{message[1:]}".removeprefix(": ")


def _keys(kind: Any) -> dict[str, Any]:
    """The keys that settings of a type may have, and below each those of its section; "*" for any name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: _keys(field.annotation) for name, field in kind.model_fields.items()}
    if get_origin(kind) is dict:
        return {"*": _keys(get_args(kind)[1])}
    # Of a union those of all its members.
    return {name: below for part in get_args(kind) for name, below in _keys(part).items()}


def _near(loc: tuple[int | str, ...], known: dict[str, Any]) -> list[str]:
    """Known keys that an unknown one may stand for: of the same section, then of any other."""
    *above, own = map(str, loc)
    path, section = "", known
    for part in above:
        # Pydantic puts the kind into the place too, which is no key.
        if part in section or "*" in section:
            path, section = f"{path}{part}.", section[part if part in section else "*"]
    if beside := get_close_matches(own, section, n=1, cutoff=0.75):
        return [path + beside[0]]
    everywhere = _paths(known)
    names = get_close_matches(own, {name for name, _ in everywhere}, n=1, cutoff=0.8)
    return [place for name, place in everywhere if name in names][:_NEAR]


def _paths(known: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Each key, and the place that it stands in."""
    found = []
    for name, below in known.items():
        found += [] if name == "*" else [(name, above + name)]
        found += _paths(below, f"{above}{'NAME' if name == '*' else name}.")
    return found
