"""Random streams named by what they are for, so that adding a patient never disturbs the others."""

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Give the generator of the thing that `names` names, such as `stream(seed, "brain", patient, "noise")`.

    Equal arguments give equal streams on every machine; `hash` would not, since Python salts it.
    """
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
