"""What jobs ask for of the machine that they run on: memory and time, in words that every scheduler has."""

from dataclasses import dataclass
from typing import Literal

from unimri.config import Config

Kind = Literal["light", "reading", "scoring", "training"]


@dataclass(frozen=True)
class JobResources:
    """What a job asks for in its first attempt.

    Attributes
    ----------
    memory_mb : largest resident memory, in MB of 10^6 bytes, with room to spare.
    minutes : longest time that it runs.
    """

    memory_mb: int
    minutes: int

    def of_attempt(self, attempt: int) -> "JobResources":
        """What attempt number `attempt` (from 1) asks for: a job that ran out of memory or time gets more of it."""
        return JobResources(self.memory_mb * attempt, self.minutes * attempt)


def job_resources(kind: Kind, config: Config) -> JobResources:
    """What one kind of job asks for.

    Parameters
    ----------
    kind : light (masks, manifests, tables, figures), reading (scans to shards), scoring (all methods over a test
        split), training.
    config : sizes that memory grows with.

    Notes
    -----
    From largest resident memory on the CPU, float32: 460 MB for an S2 step of 4 slices of 64 x 64, 700 of 128 x 128,
    1,370 of 2 slices of 320 x 320, 3,150 for an S3 step of 4 of those: 7 kB a pixel of a batch at most, 10 asked for.
    A training that runs out of time goes on from its checkpoint in the next attempt: its time need not be known.
    """
    pixels = config.preparation.image_size**2
    if kind == "training":
        held = pixels * config.training.optimisation.batch_size if config.training.device == "cpu" else 0
        room = 1000 if config.training.device == "cpu" else 8000
        return JobResources(room + held // 100, 24 * 60)
    if kind == "scoring":
        return JobResources(1000 + 4 * pixels // 100, 24 * 60)
    return {"light": JobResources(1000, 60), "reading": JobResources(1500, 6 * 60)}[kind]
