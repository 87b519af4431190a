"""What the page reads of a configuration, and how it shows it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from unimri.settings import parse_settings


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Anatomy(_Part):
    role: str
    path: str | None = None


class _Preparation(_Part):
    image_size: int


class _Training(_Part):
    seeds: list[int] | None = None


class _Distillation(_Part):
    layer: int


class Experiment(_Part):
    """The settings that the page's own words depend on. The whole configuration is shown as it is."""

    seed: int
    accelerations: list[float]
    anatomies: dict[str, _Anatomy]
    preparation: _Preparation
    network: dict[str, Any]
    training: _Training = _Training()
    distillation: _Distillation

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings."""
        return self.training.seeds or [self.seed]

    @property
    def samplings(self) -> list[str]:
        """Names of the samplings of Table 1."""
        return [f"{acceleration:g}x" for acceleration in self.accelerations]

    @property
    def origins(self) -> dict[str, str]:
        """Whether each anatomy is simulated or real, by this configuration."""
        return {name: "real" if own.path else "simulated" for name, own in self.anatomies.items()}


def read_experiment(config: dict[str, Any]) -> Experiment:
    """Take from a configuration what the page's words depend on.

    Raises
    ------
    UnimriError : when a setting is missing; the message names it.
    """
    return parse_settings(Experiment, config, "--config")


HIDDEN = "(a path of the machine, not shown)"
_PATHS = {"path", "splits", "private"}


def without_paths(config: Any) -> Any:
    """Give a configuration without the paths of the machine: folders of scans, files of splits, what is absolute."""
    if isinstance(config, dict):
        return {
            key: HIDDEN if key in _PATHS and isinstance(value, str) else without_paths(value)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [without_paths(value) for value in config]
    if isinstance(config, str) and (config.startswith(("/", "~", "\\")) or ".." in config or config[1:3] == ":\\"):
        return HIDDEN
    return config
