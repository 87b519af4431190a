"""What a metric is, in which conventions it is applied, and how the metrics are found."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import unimri.metrics
from unimri.core.errors import UnimriError
from unimri.metrics.settings import MetricSettings, metric_names

Image = NDArray[np.floating[Any]]


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
