"""The reference of the configuration, from the settings themselves: every key with type, default and description."""

import inspect
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from unimri.config import Config
from unimri.core.settings import Settings
from unimri.physics.masks import PRESETS
from unimri.workflow.jobs import Site

ROOT = Path(__file__).parents[2]
# What stands for a name of the reader's own, in a dictionary.
NAMES = {"anatomies": "NAME", "stages": "BUDGET"}
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "min_length": "entries: at least"}
# Of several kinds, this key says which one is meant.
CHOOSING = ("format", "kind", "name", "method")


def page() -> str:
    """Markdown of all sections, each a heading of the second or third level and a table."""
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    experiment = _Reference(default).section("", Config)
    presets = "".join(f"| `{name}` | `{_flow(content)}` |\n" for name, content in PRESETS.items())
    site = _Reference({}).section("site.yaml", Site)
    return f"{experiment}## Presets of masks\n\n| `preset` | stands for |\n| --- | --- |\n{presets}\n{site}"


class _Reference:
    def __init__(self, default: dict[str, Any]) -> None:
        self.default = default
        self.written: dict[tuple[type[Settings], ...], str] = {}

    def section(self, path: str, model: type[Settings], choice: str = "") -> str:
        """A model's table, and below it the sections of the models that its fields hold."""
        title = choice or (f"`{path}`" if path else "The experiment")
        rows, below = [], []
        for name, field in model.model_fields.items():
            key = f"{path}.{name}".lstrip(".") if path != "site.yaml" else name
            models = tuple(_models(field.annotation))
            kind = _type(field.annotation, field)
            if models:
                inner = key + (f".{NAMES.get(name, 'NAME')}" if get_origin(field.annotation) is dict else "")
                first = self.written.setdefault(models, inner)
                kind += f", [see there](#{_anchor(first)})"
                if first == inner:
                    below += self.kinds(inner, models)
            said = self.said(key)
            about = field.description or ("chooses this kind" if name in CHOOSING else "")
            cells = (f"`{name}`", kind, _default(field), *([said] if self.default else []), about.replace("|", "\\|"))
            rows.append(f"| {' | '.join(cells)} |\n")
        # Not what a class says that it comes from.
        about = inspect.cleandoc(vars(model).get("__doc__") or "").partition("\n\n")[0]
        heading = f"{'###' if choice else '##'} {title} {{ #{_anchor(f'{path} {choice}')} }}\n\n"
        titles = ("key", "type", "default", *(["`config.yaml`"] if self.default else []), "what it is")
        table = f"| {' | '.join(titles)} |\n{'| --- ' * len(titles)}|\n{''.join(rows)}"
        return "".join([heading, f"{about}\n\n" if about else "", table, "\n", *below])

    def kinds(self, path: str, models: tuple[type[Settings], ...]) -> list[str]:
        if len(models) == 1:
            return [self.section(path, models[0])]
        found = [f"## `{path}` {{ #{_anchor(path)} }}\n\nOne of these kinds.\n\n"]
        for model in models:
            key = next(name for name in CHOOSING if name in _constants(model))
            values = ", ".join(f"`{value}`" for value in get_args(model.model_fields[key].annotation))
            found.append(self.section(path, model, f"`{key}`: {values}"))
        return found

    def said(self, key: str) -> str:
        """What the default's file says of a key."""
        content: Any = self.default
        for part in key.split("."):
            if not isinstance(content, dict) or part not in content:
                return ""
            content = content[part]
        return "" if isinstance(content, dict) else f"`{_flow(content)}`"


def _anchor(path: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in path.replace("`", "").lower()).strip("-") or "top"


def _models(annotation: Any) -> list[type[Settings]]:
    """The settings that a type holds."""
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _constants(model: type[Settings]) -> set[str]:
    return {name for name, field in model.model_fields.items() if get_origin(field.annotation) is Literal}


def _type(annotation: Any, field: FieldInfo | None = None) -> str:
    """A type in words, with its limits."""
    limits = _limits(field.metadata if field else [])
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        models = _models(annotation)
        nested = "" if models else _limits([one for part in inner[1:] for one in getattr(part, "metadata", [part])])
        return _type(inner[0]) + nested + limits
    if origin in (Union, types.UnionType):
        kinds = [_type(one) for one in inner if one is not type(None)]
        text = kinds[0] if len(set(kinds)) == 1 else " or ".join(kinds)
        return text + (" or null" if type(None) in inner else "") + limits
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is list:
        return f"list: {_type(inner[0])}{limits}"
    if origin is dict:
        return f"{_type(inner[1])}, by name"
    if _models(annotation):
        return "settings"
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}.get(
        annotation.__name__, annotation.__name__.lower()
    ) + limits


def _limits(metadata: list[Any]) -> str:
    found = [
        f"{word} {getattr(one, name):g}" for one in metadata for name, word in LIMITS.items() if hasattr(one, name)
    ]
    return f" ({', '.join(found)})" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Settings) or value is PydanticUndefined:
        return "its own"
    return f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """As one writes it in YAML."""
    text = yaml.safe_dump(str(value) if isinstance(value, Path) else value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


if __name__ == "__main__":
    sys.stdout.write(page())
