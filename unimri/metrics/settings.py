"""How metrics are computed, and which of them Table 1 shows."""

import pkgutil
from functools import cache
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

import unimri.metrics
from unimri.core.settings import Settings

_NO_METRICS = ("base", "formulas", "score", "settings")


def metric_names() -> list[str]:
    """Names of all metrics: each is a module of this package that is called as it is. None is imported."""
    return list(_names(tuple(unimri.metrics.__path__)))


# A page asks for each of its cells.
@cache
def _names(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(found.name for found in pkgutil.iter_modules(folders) if found.name not in _NO_METRICS))


class MetricSettings(Settings):
    """How the metrics are computed, and which stand in Table 1."""

    data_range: float = Field(1.0, gt=0, description="intensity range R of the images, in PSNR and in SSIM's constants")
    ssim_window: int = Field(
        7, ge=3, description="side of SSIM's uniform window in pixels, odd; without effect when gaussian"
    )
    gaussian: bool = Field(
        False,
        description="weigh SSIM's window by a Gaussian, as Wang et al. 2004: sigma 1.5, 11 pixels",
    )
    table: list[str] | None = Field(
        None,
        min_length=1,
        description="metrics of Table 1, in the order of its columns: any of psnr, ssim, nmse, hfen and of those that "
        "were added to `unimri/metrics`; null: those that say so themselves, psnr and ssim",
    )

    @property
    def window(self) -> str:
        """SSIM's window in words."""
        return "a Gaussian window, sigma 1.5" if self.gaussian else f"a uniform window of {self.ssim_window} pixels"

    @property
    def description(self) -> str:
        """What has to be said beside PSNR and SSIM."""
        return f"data range {self.data_range:g}, SSIM with {self.window}"

    @field_validator("ssim_window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the window has a centre")
        return value

    @field_validator("table")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        names = metric_names()
        if unknown := [name for name in value or () if name not in names]:
            raise ValueError(f"unknown metric(s): {', '.join(unknown)}; allowed: {', '.join(names)}")
        if value and len(set(value)) < len(value):
            raise ValueError("names a metric twice; give each once")
        return value

    @model_serializer(mode="wrap")
    def _without_null(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What records the settings, such as a model's description, is the same bytes as before there was the key.
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if key != "table" or value is not None}
