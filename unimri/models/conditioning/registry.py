"""The conditionings by name: each is a module of this package. Loads none of them, and no torch."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from unimri.models import conditioning
from unimri.models.settings import BackboneSettings

if TYPE_CHECKING:
    from unimri.models.conditioning.base import Conditioning

_OTHER_MODULES = ("base", "registry")


def conditionings() -> list[str]:
    """The names that there are, sorted."""
    return sorted(
        found.name for found in pkgutil.iter_modules(conditioning.__path__) if found.name not in _OTHER_MODULES
    )


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
