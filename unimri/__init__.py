"""Universal undersampled MRI reconstruction: one network for every anatomy.

>>> import unimri
>>> model = unimri.load("results/models/4x")  # doctest: +SKIP
>>> scan = unimri.load_kspace("file.h5")  # doctest: +SKIP
>>> image = model.reconstruct(scan.kspace, scan.mask, anatomy="brain")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unimri.core.errors import UnimriError
    from unimri.deploy.model import Model, load
    from unimri.io.formats import load_kspace
    from unimri.io.volume import Images
    from unimri.physics.acquisition import Acquisition

    __version__: str

__all__ = ["Acquisition", "Images", "Model", "UnimriError", "load", "load_kspace"]

_MODULES = {
    "Acquisition": "unimri.physics.acquisition",
    "Images": "unimri.io.volume",
    "Model": "unimri.deploy.model",
    "UnimriError": "unimri.core.errors",
    "load": "unimri.deploy.model",
    "load_kspace": "unimri.io.formats",
}


def __getattr__(name: str) -> Any:
    # Not at import: torch takes seconds, and the command line and the workflow's plan need none of it.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    # The metadata's: here a number would be code, and a new version would change the fingerprint of every training.
    if name == "__version__":
        return import_module("unimri.core.provenance").versions()["unimri"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
