"""Prepared data, small and smooth, as `unimri prepare` leaves them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unimri.data.shard import ShardContent, SourceFile, write_manifest, writing_shard


def smooth(slices: int, rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    """Smooth slices, (slices, rows, columns) in [0, 1], each with another largest value; the first reaches 1."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((1, slices, 5, 5)))
    images = torch.nn.functional.interpolate(coarse, size=(rows, columns), mode="bicubic")[0].abs().numpy()
    images /= images.max((1, 2), keepdims=True)
    return (images * np.linspace(1, 0.5, slices)[:, None, None]).astype(np.float32)


def make_store(folder: Path, anatomy: str, volumes: dict[str, tuple[str, str, int]], size: int = 32) -> Path:
    """Write a store of {volume: (patient, split, slices)}."""
    with writing_shard(folder / "shard-000.h5", anatomy, size) as shard:
        for number, (volume, (patient, _, slices)) in enumerate(volumes.items()):
            source = SourceFile(bytes=10, sha256=f"{number:064d}")
            content = smooth(slices, size, size, seed=number)
            shard.add(volume, patient, None, content, (size, size), 1.0, [source], f"{number:064d}")
    content = ShardContent.load(folder / "shard-000.json")
    write_manifest({"shard-000.h5": content}, {patient: split for patient, split, _ in volumes.values()}, folder)
    return folder
