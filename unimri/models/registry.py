"""The backbones by name: `name` in the settings of the network chooses."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from unimri.core.errors import UnimriError
from unimri.core.plugins import BACKBONE_GROUP, load_plugins, one_of
from unimri.core.settings import parse_settings
from unimri.models.settings import BackboneSettings, CascadeSettings

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
