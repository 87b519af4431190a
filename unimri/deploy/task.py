"""What a model of a finished experiment is made from, in words that the workflow has without torch."""

from typing import Any, Literal

from unimri.core.settings import Settings
from unimri.metrics.settings import MetricSettings
from unimri.physics.masks import MaskSettings


class Part(Settings):
    """An anatomy of the experiment."""

    origin: Literal["simulated", "real"]
    role: Literal["base", "new"]


class ModelTask(Settings):
    """All that a model is made from, apart from files."""

    name: str
    acceleration: float
    mask: MaskSettings
    metrics: MetricSettings
    anatomies: dict[str, Part]
    settings: dict[str, Any]
