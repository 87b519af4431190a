"""Shuffled training reads: prepared slices against a plain `Dataset` over fastMRI-style volume files.

    python benchmarks/reading.py results/data/brain

The baseline is what public baselines do: one HDF5 file a volume, opened for each slice, k-space read, mask and FFTs
applied to one slice at a time in the loader. One process each, files in the page cache. Both end with a batch of 8
zero-filled images and their k-space, so that the undersampling, ours for a whole batch, counts on both sides.
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch

from unimri.data.store import PreparedData
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Gaussian1D, draw_masks

BATCH = 8


class VolumeFiles(torch.utils.data.Dataset):
    """A slice is read from its volume's file, Fourier transformed and masked on its own."""

    def __init__(self, files: list[tuple[Path, int]], mask: np.ndarray, transform: bool) -> None:
        self.files, self.mask, self.transform = files, mask, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        path, number = self.files[index]
        with h5py.File(path) as file:
            kspace = torch.from_numpy(file["kspace"][number])
        if not self.transform:
            return (kspace,)
        masked = kspace * torch.from_numpy(self.mask)
        image = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(masked), norm="ortho"))
        return image, masked


def best(run, count: int) -> float:
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        rates.append(count / (time.perf_counter() - start))
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared data")
    parser.add_argument("--slices", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = PreparedData(arguments.data).split("train")
    from_disk = PreparedData(arguments.data, memory_limit=0).split("train")
    count = min(arguments.slices, len(kept))
    order = np.random.default_rng(0).permutation(len(kept))[:count]
    batches = [order[first : first + BATCH] for first in range(0, count, BATCH)]
    masks = draw_masks(Gaussian1D(), kept[0].shape[0], 4)
    sampled, axis = lines(torch.from_numpy(masks.masks), PHASE_AXES[masks.axis]), PHASE_AXES[masks.axis]
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, list[np.ndarray]] = {}
        for index in order:
            volume, _, _ = kept.volume_of(int(index))
            files.setdefault(volume, []).append(kept[int(index)])
        where = []
        for volume, slices in files.items():
            path = Path(folder) / f"{volume}.h5"
            shifted = np.fft.ifftshift(np.stack(slices), axes=(1, 2))
            kspace = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(1, 2))
            with h5py.File(path, "w") as file:
                file["kspace"] = kspace.astype(np.complex64)
            where += [(path, number) for number in range(len(slices))]
        mask = masks.masks[0].astype(np.float32)[None, :] if masks.axis == "columns" else masks.masks[0][:, None]

        def baseline(transform: bool):
            dataset = VolumeFiles(where, np.asarray(mask, np.float32), transform)
            loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
            return best(lambda: [None for _ in loader], count)

        def ours(slices, transform: bool):
            def run() -> None:
                for batch in batches:
                    image = torch.from_numpy(slices.batch(batch))
                    if transform:
                        undersample(image, sampled, axis)

            return best(run, count)

        size = kept[0].shape[0]
        print(f"{count} slices of {size} x {size}, batches of {BATCH}, one thread; slices a second")
        for title, transform in (("reading alone", False), ("with FFT and mask", True)):
            plain, disk, memory = baseline(transform), ours(from_disk, transform), ours(kept, transform)
            print(
                f"{title:18s} volume files {plain:7.0f}   store, from disk {disk:7.0f} ({disk / plain:.1f}x)"
                f"   store, kept in memory {memory:7.0f} ({memory / plain:.1f}x)"
            )
        images = torch.from_numpy(kept.batch(order[:BATCH]))

        def at_once() -> None:
            undersample(images, sampled, axis)

        def one_by_one() -> None:
            for image in images:
                undersample(image[None], sampled, axis)

        single = best(lambda: [one_by_one() for _ in range(20)], 20 * BATCH)
        batch = best(lambda: [at_once() for _ in range(20)], 20 * BATCH)
        print(
            f"FFT and mask alone, a slice at a time {single:.0f}, a batch at a time {batch:.0f} ({batch / single:.1f}x)"
        )


if __name__ == "__main__":
    main()
