from pathlib import Path

import pytest

from unimri.config import Config, load_config
from unimri.workflow.jobs import job_resources

ROOT = Path(__file__).parents[2]
CONFIG, PAPER = ROOT / "config.yaml", ROOT / "workflow/config/paper.yaml"


def with_device(device: str) -> Config:
    config = load_config(CONFIG, PAPER)
    return config.model_copy(update={"training": config.training.model_copy(update={"device": device})})


@pytest.mark.parametrize(("pixels", "batch", "measured"), [(64**2, 4, 638), (128**2, 4, 699), (320**2, 4, 3149)])
def test_a_training_on_the_cpu_asks_for_more_than_was_measured(pixels: int, batch: int, measured: int) -> None:
    config = load_config(CONFIG)
    preparation = config.preparation.model_copy(update={"image_size": int(pixels**0.5)})
    optimisation = config.training.optimisation.model_copy(update={"batch_size": batch})
    training = config.training.model_copy(update={"optimisation": optimisation})
    asked = job_resources(
        "training", config.model_copy(update={"preparation": preparation, "training": training})
    ).memory_mb
    assert 1.2 * measured < asked < 3 * measured


def test_on_a_gpu_the_batch_is_not_held_in_the_machines_memory() -> None:
    assert (
        job_resources("training", with_device("cuda")).memory_mb
        < job_resources("training", with_device("cpu")).memory_mb
    )


def test_another_attempt_gets_more() -> None:
    first = job_resources("scoring", load_config(CONFIG))
    assert first.of_attempt(1) == first
    assert first.of_attempt(3).memory_mb == 3 * first.memory_mb
    assert first.of_attempt(3).minutes == 3 * first.minutes
