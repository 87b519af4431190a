"""What installed packages add: kinds of readers, masks, backbones and phantoms, by Python's entry points.

An entry point names a class, and is called what the settings call its kind. Modules that such a class is written with
load no entry points themselves, so that either may be imported first.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Union

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from unimri.core.errors import UnimriError
from unimri.core.settings import Settings

READER_GROUP, MASK_GROUP = "unimri.readers", "unimri.masks"
BACKBONE_GROUP, PHANTOM_GROUP = "unimri.backbones", "unimri.phantoms"
"""The groups of entry points."""

_KEY = "plugin"
_packages: dict[type, str] = {}


@cache
def _installed() -> Any:
    # All at once: the files of every installed package are read.
    return entry_points()


def load_plugins(group: str, base: Any, taken: Collection[str], key: str | None = None) -> dict[str, type[Any]]:
    """Load the classes that installed packages add to a group.

    Parameters
    ----------
    group : one of the groups above.
    base : class that each must be a subclass of.
    taken : names of the kinds that are built in.
    key : the setting that chooses a kind; its default must be the entry point's name. None where there is no such.

    Returns
    -------
    Classes by name; without such packages none.

    Raises
    ------
    UnimriError : when one cannot be loaded, is no such class, or has a name that is taken. It names package and entry
        point.
    """
    found: dict[str, type[Any]] = {}
    points = [(f"{point.dist.name} {point.dist.version}", point) for point in _installed().select(group=group)]
    for package, point in sorted(points, key=lambda own: own[0]):
        where = f"{package}: its entry point {point.name} = {point.value} in {group}"
        mend = f"correct that package, or take it out (pip uninstall {point.dist.name})"
        if point.name in taken or point.name in found:
            other = "built in" if point.name in taken else f"of {package_of(found[point.name])}"
            raise UnimriError(f"{where}: one of that name is {other}; give it another name")
        try:
            kind = point.load()
        # Whatever its code raises.
        except Exception as fault:
            reason = " ".join(f"{type(fault).__name__}: {fault}".split())
            raise UnimriError(f"{where}: cannot be loaded ({reason}); {mend}") from fault
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise UnimriError(f"{where}: is no subclass of {base.__module__}.{base.__qualname__}; {mend}")
        if key is not None and issubclass(kind, Settings):
            field = kind.model_fields.get(key)
            if field is None or field.default != point.name:
                raise UnimriError(f"{where}: its `{key}` is not Literal[{point.name!r}] = {point.name!r}; {mend}")
        _packages[kind] = package
        found[point.name] = kind
    return found


def package_of(kind: type) -> str:
    """Name and version of the package that a loaded class is from, such as `"mri-extras 1.2"`; blank for ours."""
    return _packages.get(kind, "")


def one_of(kinds: Iterable[type], key: str) -> Any:
    """The type of settings of any of these kinds, which the setting `key` chooses from."""
    kinds = tuple(kinds)
    return kinds[0] if len(kinds) == 1 else Annotated[Union[kinds], Field(discriminator=key)]  # noqa: UP007


class Extensible(Settings):
    """Settings of a kind that may be from another package, whose name and version are then among what is made from it.

    They are written as `plugin` wherever the settings are, so that another version makes again what it has to, and no
    other results. `plugin` may be given too, and must then be what is installed.
    """

    @classmethod
    def _package(cls, content: Mapping[str, Any]) -> str:
        """The package that settings with this content depend on; blank when that is ours."""
        return package_of(cls)

    @model_validator(mode="before")
    @classmethod
    def _is_installed(cls, content: Any) -> Any:
        if not isinstance(content, dict) or _KEY not in content:
            return content
        given, own = content[_KEY], cls._package(content)
        if given != own:
            raise ValueError(
                f"made with {given}, and here is {own or 'no such package'}; install that version, or take the key "
                f"{_KEY} out to go on with what is here"
            )
        return {name: value for name, value in content.items() if name != _KEY}

    @model_serializer(mode="wrap")
    def _with_package(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        package = self._package(content)
        return content | {_KEY: package} if package else content
