"""What jobs ask for of the machine that they run on: memory and time, in words that every scheduler has."""

from dataclasses import dataclass
from typing import Literal

from unimri.config import Config

Kind = Literal["light", "reading", "scoring", "training"]


@dataclass(frozen=True)
class Needs:
    """Needs of a job's first attempt.

    Attributes
    ----------
    memory_mb : largest resident memory, in MB of 10^6 bytes, with room to spare.
    minutes : longest time that it runs.
    """

    memory_mb: int
    minutes: int

    def of_attempt(self, attempt: int) -> "Needs":
        """Needs of attempt number `attempt` (from 1): a job that ran out of memory or time gets more of it."""
        return Needs(self.memory_mb * attempt, self.minutes * attempt)


def needs(kind: Kind, config: Config) -> Needs:
    """Needs of one kind of job.

    Parameters
    ----------
    kind : light (masks, manifests, tables, figures), reading (scans to shards), scoring (a method over a test split),
        training.
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
        return Needs(room + held // 100, 24 * 60)
    if kind == "scoring":
        return Needs(1000 + 4 * pixels // 100, 24 * 60)
    return {"light": Needs(1000, 60), "reading": Needs(1500, 6 * 60)}[kind]
