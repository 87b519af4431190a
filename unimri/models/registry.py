"""Backbones and conditionings by name. Loads no torch, and none of the conditionings, each a module of its package."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from unimri.core.errors import UnimriError
from unimri.core.plugins import BACKBONE_GROUP, load_plugins, one_of
from unimri.core.settings import parse_settings
from unimri.models import conditioning
from unimri.models.settings import BackboneSettings, CascadeSettings

if TYPE_CHECKING:
    from unimri.models.conditioning.base import Conditioning

BACKBONES: dict[str, type[BackboneSettings]] = {"d5c5": CascadeSettings}
BACKBONES |= load_plugins(BACKBONE_GROUP, BackboneSettings, BACKBONES, "name")


def _with_name(value: Any) -> Any:
    return {"name": "d5c5"} | value if isinstance(value, dict) else value


if TYPE_CHECKING:
    NetworkSettings = BackboneSettings
else:
    NetworkSettings = Annotated[one_of(BACKBONES.values(), "name"), BeforeValidator(_with_name)]
"""Settings of any backbone: `{name: NAME, ...}`; d5c5 without a name."""


def read_network(content: dict[str, Any], source: str) -> BackboneSettings:
    """The settings of a network that was trained, maybe with another version of the package that its backbone is from.

    Raises
    ------
    UnimriError : when that package is not installed, or its settings are others by now.
    """
    package, name = content.get("plugin"), content.get("name")
    if package and name not in BACKBONES:
        raise UnimriError(
            f"{source}: its backbone {name!r} is from the package {package}, which is not installed; install it"
        )
    # Whether weights of another version fit is seen when they are loaded.
    settings = {key: value for key, value in content.items() if key != "plugin"}
    return parse_settings(NetworkSettings, settings, source)


def conditionings() -> list[str]:
    """The names that there are, sorted."""
    return sorted(found.name for found in pkgutil.iter_modules(conditioning.__path__) if found.name != "base")


def check_conditioning(name: str) -> str:
    """Give the name back.

    Raises
    ------
    ValueError : when there is no such conditioning; it lists those that there are.
    """
    if name not in conditionings():
        raise ValueError(f"conditioning {name!r} is unknown; allowed: {', '.join(conditionings())}")
    return name


ConditioningName = Annotated[str, AfterValidator(check_conditioning)]
"""A conditioning, in settings."""


def conditioning_module(name: str) -> str:
    """The module of a conditioning, for fingerprints of code: what builds one by name does not import it statically."""
    return f"{conditioning.__name__}.{name}"


def build_conditioning(name: str, settings: BackboneSettings, anatomies: Iterable[str] = ()) -> "Conditioning":
    """A new conditioning of a network with these settings; see `unimri.models.conditioning.base.Conditioning`.

    Raises
    ------
    ValueError : when there is none of that name.
    """
    module = importlib.import_module(conditioning_module(check_conditioning(name)))
    built: Conditioning = module.Conditioning(settings, anatomies)
    return built
