"""Universal undersampled MRI reconstruction: one network for every anatomy.

>>> import unimri
>>> model = unimri.load("results/models/4x")  # doctest: +SKIP
>>> scan = unimri.load_kspace("file.h5")  # doctest: +SKIP
>>> image = model.reconstruct(scan.kspace, scan.mask, anatomy="brain")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unimri.deploy.model import Model, load
    from unimri.formats.load import load_kspace
    from unimri.formats.scan import Images, KSpace

__all__ = ["Images", "KSpace", "Model", "load", "load_kspace"]

_MODULES = {
    "Images": "unimri.formats.scan",
    "KSpace": "unimri.formats.scan",
    "Model": "unimri.deploy.model",
    "load": "unimri.deploy.model",
    "load_kspace": "unimri.formats.load",
}


def __getattr__(name: str) -> Any:
    # Not at import: torch takes seconds, and the command line and the workflow's plan need none of it.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
