"""What a metric is, how metrics are computed and in which conventions, how they are found, and the formula of PSNR.

Whoever needs PSNR alone takes the formula: another title of a metric, which its module holds, tunes nothing again.
"""

import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

import unimri.metrics
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings

Image = NDArray[np.floating[Any]]

PSNR_CEILING_DB = float(20 * np.log10(2**24))
"""144.49 dB: the PSNR of an error of 2^-24 of the data range, which is float32's rounding near 1."""

_NO_METRICS = ("base", "score")


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


@dataclass(frozen=True)
class Convention:
    """How papers apply one metric differently: to what, and with which data range.

    Attributes
    ----------
    name : in files.
    title : in plain words.
    whole : of whole volumes, and means are over volumes; else of slices.
    own_range : the data range is the maximum of the fully sampled slice or volume; else `MetricSettings.data_range`.
    """

    name: str
    title: str
    whole: bool
    own_range: bool


UNIT_RANGE = Convention("unit_range", "volume's scale, range 1", whole=False, own_range=False)
SLICE_MAXIMUM = Convention("slice_maximum", "slice by slice, range: the slice's maximum", whole=False, own_range=True)
VOLUME_MAXIMUM = Convention("volume_maximum", "whole volume, range: its maximum", whole=True, own_range=True)

CONVENTIONS = (UNIT_RANGE, SLICE_MAXIMUM, VOLUME_MAXIMUM)
"""All of them. The first is that of Table 1, the last that of fastMRI's `evaluate.py`."""


class Metric(ABC):
    """A metric of a reconstruction against the fully sampled image. A module `{name}.py` of this package holds one.

    Attributes
    ----------
    name : as the settings call it, and its module.
    column : in files; it begins with the name.
    title : in tables and figures.
    unit : of its values; blank when they have none.
    decimals : with which a value is shown.
    lower_is_better : whether the lowest value is the best.
    convention : how exactly it is computed, in words.
    reference : who defined it so.
    in_table : whether it is a column of Table 1 unless `MetricSettings.table` says otherwise.
    scored : whether every slice is scored by it, in Table 1 or not.
    relative : whether it is a ratio to the fully sampled image, as an error over its norm. Then it has no data range,
        and so one value of a slice in place of two; and none (NaN) where the fully sampled image has nothing to divide
        by.
    """

    name: ClassVar[str]
    column: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    decimals: ClassVar[int] = 2
    lower_is_better: ClassVar[bool]
    convention: ClassVar[str]
    reference: ClassVar[str]
    in_table: ClassVar[bool] = False
    scored: ClassVar[bool] = False
    relative: ClassVar[bool] = False

    @abstractmethod
    def slice(self, truth: Image, image: Image, settings: MetricSettings) -> float:
        """Score one slice.

        Parameters
        ----------
        truth, image : real (H, W), finite: the magnitude of the fully sampled slice, and of its reconstruction on the
            same scale, which is not clipped.
        settings : how, with the data range that counts.

        Returns
        -------
        A finite number; of a metric that is `relative` it may be NaN.
        """

    def volume(self, truth: Image, images: Image, settings: MetricSettings) -> float:
        """Score a volume, (S, H, W) as in `slice`: the mean over its slices, unless a metric says otherwise."""
        values = [self.slice(one, other, settings) for one, other in zip(truth, images, strict=True)]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    def describe(self, settings: MetricSettings) -> str:
        """What a table that shows it has to say of it."""
        return f"{self.title}: {self.convention}" + (", lower is better" if self.lower_is_better else "")

    def gain(self, difference: float) -> float:
        """A difference of two values, which is then above zero where the first is the better one."""
        return -difference if self.lower_is_better else difference

    @property
    def heading(self) -> str:
        """Its title with its unit: PSNR (dB)."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def words(self) -> str:
        """The same in a sentence: PSNR in dB."""
        return f"{self.title} in {self.unit}" if self.unit else self.title

    def column_in(self, convention: Convention) -> str | None:
        """Its column in a convention's file; None where it has no such value.

        A slice's file has it by the settings' range and by the slice's own, under two names.
        """
        if self.relative:
            return self.column if convention.own_range else None
        if convention is SLICE_MAXIMUM:
            return self.column.replace(self.name, f"{self.name}_slice_max", 1)
        return self.column


def metrics() -> dict[str, Metric]:
    """All metrics by name: one of each module of this package that is called as its metric is.

    Raises
    ------
    UnimriError : when a module holds no metric of its name.
    """
    return {name: _metric(name) for name in metric_names()}


def _metric(name: str) -> Metric:
    module = import_module(f"{unimri.metrics.__name__}.{name}")
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Metric) and kind.__module__ == module.__name__
    ]
    if len(kinds) != 1 or kinds[0].name != name or not kinds[0].column.startswith(name):
        raise UnimriError(
            f"{module.__file__}: does not hold one metric named {name!r} whose column begins so; correct that module"
        )
    metric: Metric = kinds[0]()
    return metric


def metric_of(column: str) -> Metric:
    """The metric of a column.

    Raises
    ------
    UnimriError : when there is none; the message lists those that are.
    """
    known = {metric.column: metric for metric in metrics().values()}
    if column not in known:
        raise UnimriError(f"metric {column!r} is unknown; allowed: {', '.join(known)}")
    return known[column]


def table_metrics(settings: MetricSettings) -> list[Metric]:
    """The metrics of Table 1, in the order of its columns."""
    known = metrics()
    if settings.table is not None:
        return [known[name] for name in settings.table]
    # Those that were added come after PSNR and SSIM, which every table of the paper has.
    return sorted((metric for metric in known.values() if metric.in_table), key=lambda metric: not metric.scored)


def scored_metrics(settings: MetricSettings) -> list[Metric]:
    """The metrics that slices and volumes are scored by: Table 1's, and after them the others that always are."""
    shown = table_metrics(settings)
    names = {metric.name for metric in shown}
    return [*shown, *(metric for metric in metrics().values() if metric.scored and metric.name not in names)]


def in_convention(scored: Sequence[Metric], convention: Convention) -> dict[str, Metric]:
    """Those of some metrics that a convention has, by their column in it; ratios before the others."""
    ordered = sorted(scored, key=lambda metric: not metric.relative)
    columns = [(metric.column_in(convention), metric) for metric in ordered]
    return {column: metric for column, metric in columns if column is not None}


def metric_modules(settings: MetricSettings) -> tuple[str, ...]:
    """Modules of the metrics that are scored: what a fingerprint of scores and tables covers beside static imports."""
    return tuple(type(metric).__module__ for metric in scored_metrics(settings))


def psnr(reference: Image, reconstruction: Image, data_range: float) -> float:
    """PSNR in dB of arrays of one shape, as `metrics.psnr.PSNR`: in float64, `PSNR_CEILING_DB` at most."""
    # Not by scikit-image's function, which is the same: its module loads scipy.stats, a fifth of a small job's time.
    error = np.mean((reference.astype(np.float64) - reconstruction.astype(np.float64)) ** 2)
    with np.errstate(divide="ignore"):
        return min(float(10 * np.log10(data_range**2 / error)), PSNR_CEILING_DB)
