"""Universal undersampled MRI reconstruction: one network for every anatomy.

>>> import unimri
>>> model = unimri.load("results/models/4x")  # doctest: +SKIP
>>> image = model.reconstruct(kspace, mask, anatomy="brain")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unimri.deploy.model import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    # Not at import: torch takes seconds, and the command line and the workflow's plan need none of it.
    if name in __all__:
        from unimri.deploy import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
