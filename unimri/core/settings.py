"""What all typed settings share. Each section's settings stand beside the code that they steer."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from unimri.core.errors import UnimriError

T = TypeVar("T")


class Settings(BaseModel):
    """A section of the configuration: unknown keys are an error, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
        raise UnimriError("; ".join(f"{source}: {_describe(error)}" for error in fault.errors())) from None


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


def _describe(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; check its spelling, or set it to null in your overlay to take it out"
    if error["type"] == "missing":
        return f"{key}: missing; it must be given"
    message = error["msg"].removeprefix("Value error, ")
    # Of damaged JSON the input is all of it.
    value = "" if isinstance(error["input"], dict) or error["type"] == "json_invalid" else f" is {error['input']!r}"
    return f"{key}{value}: {message[0].lower()}{message[1:]}".removeprefix(": ")
