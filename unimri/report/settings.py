"""What the page reads of a configuration, and how it shows it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from unimri.core.settings import parse_settings


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


HIDDEN = "(not shown)"
_PATHS = {"path", "splits", "private", "key_file"}
# Patterns of a reader's user may hold names of files and patients; these are chosen from a list.
_CHOICES = {"format", "plane", "plugin"}


def shown_settings(config: Any) -> Any:
    """Give a configuration without what the page must not say: paths of the machine, and a reader's own patterns."""
    if isinstance(config, dict):
        return {key: _shown(key, value) for key, value in config.items()}
    if isinstance(config, list):
        return [shown_settings(value) for value in config]
    if isinstance(config, str) and (config.startswith(("/", "~", "\\")) or ".." in config or config[1:3] == ":\\"):
        return HIDDEN
    return config


def _shown(key: str, value: Any) -> Any:
    if key in _PATHS and isinstance(value, str):
        return HIDDEN
    if key == "reader" and isinstance(value, dict):
        return {
            name: own if name in _CHOICES or not isinstance(own, str | list) else HIDDEN for name, own in value.items()
        }
    return shown_settings(value)
