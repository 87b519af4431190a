"""How to store prepared slices: size on disk, random reads a second, and exactness, for types, chunks and filters.

    python benchmarks/storage.py results/data/brain [--slices 512]

Slices are read back in shuffled batches of 8 by one process, file in the page cache; each way is a ratio to float32,
one slice a chunk, no filter, in the same run. Errors are against slices that the store has rounded to uint16 already,
with noise of less than a step added.
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from unimri.data.store import PreparedData, decode, encode

BATCH = 8
# dtype, slices a chunk, filters
WAYS = [
    ("float32", 1, {}),
    ("float32", 4, {}),
    ("float32", 1, {"compression": "lzf", "shuffle": True}),
    ("float32", 1, {"compression": "gzip", "compression_opts": 1, "shuffle": True}),
    ("float16", 1, {}),
    ("uint16", 1, {}),
    ("uint16", 4, {}),
    ("uint16", 1, {"compression": "lzf", "shuffle": True}),
    ("uint16", 1, {"compression": "gzip", "compression_opts": 1, "shuffle": True}),
]


def encoded(slices: np.ndarray, dtype: str) -> np.ndarray:
    return encode(slices, 1.0) if dtype == "uint16" else slices.astype(dtype)


def decoded(stored: np.ndarray) -> np.ndarray:
    slices = np.empty(stored.shape, np.float32)
    if stored.dtype == np.uint16:
        decode(stored, slices)
    else:
        slices[...] = stored
    return slices


def rate(path: Path, order: np.ndarray) -> float:
    """Slices a second of one pass in a given order; the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, len(order), BATCH):
            with h5py.File(path) as file:
                dataset = file["slices"]
                np.stack([decoded(dataset[index]) for index in order[first : first + BATCH]])
        best = max(best, len(order) / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared data")
    parser.add_argument("--slices", type=int, default=512)
    arguments = parser.parse_args()
    split = PreparedData(arguments.data).split("train")
    count = min(arguments.slices, len(split))
    order = np.random.default_rng(0).permutation(count)
    slices = split.batch(np.sort(np.random.default_rng(0).permutation(len(split))[:count]))
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, slices.shape) / 65535
    slices = np.clip(slices + noise, 0, 1).astype(np.float32)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype, chunk, filters in WAYS:
            path = Path(folder) / "slices.h5"
            start = time.perf_counter()
            with h5py.File(path, "w") as file:
                file.create_dataset("slices", data=encoded(slices, dtype), chunks=(chunk, *slices.shape[1:]), **filters)
            written = time.perf_counter() - start
            with h5py.File(path) as file:
                error = float(np.abs(decoded(file["slices"][()]) - slices).max())
            rows.append(
                {
                    "type": dtype,
                    "slices a chunk": chunk,
                    "filter": "+".join(str(value) for value in filters.values() if isinstance(value, str)) or "none",
                    "bytes a pixel": path.stat().st_size / slices.size,
                    "reads/s": rate(path, order),
                    "writes/s": count / written,
                    "largest error": error,
                }
            )
    table = pd.DataFrame(rows)
    table.insert(5, "ratio", table["reads/s"] / table["reads/s"][0])
    print(f"{count} slices of {slices.shape[1]} x {slices.shape[2]}")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
