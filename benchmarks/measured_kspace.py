"""Real k-space, retrospectively undersampled: a trained network beside zero filling and the classical methods.

    python benchmarks/measured_kspace.py results/4x/seed2021/pretrained scan.npy ... --anatomy brain --picture scan.png

Files are complex (slices, [coils,] rows, columns), DC at n // 2, fully sampled. The network goes through the front
door (`unimri.deploy.Model`): maps from the calibration lines, scale and noise estimated. Classical methods get the
same maps, the true maximum as scale, and of their weights the one that the truth likes best: more than anybody who
scans has. Of one coil they are CG, wavelets and total variation of one coil. The truth is the root sum of squares of
the fully sampled coils, zero filling is combined alike; PSNR in dB and SSIM in % by the volume's maximum.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from unimri.classical.sense import sense
from unimri.classical.settings import CgSense, Sense, TotalVariationSense, WaveletSense
from unimri.deploy.library import FEATURES, AnatomyDescription, ModelDescription, Quality
from unimri.deploy.model import Model
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import score_slice
from unimri.models.folder import load_model
from unimri.physics.acquisition import Acquisition, acquisition
from unimri.physics.fourier import combine_coils, lines, to_hybrid, to_image
from unimri.physics.masks import FastMRIEquispaced, draw_masks
from unimri.physics.sense import Encoding, Measurement
from unimri.physics.sensitivities import estimate, lacks_calibration

WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
METHODS: dict[str, Sense] = {
    "CG-SENSE": CgSense(),
    "L1-wavelet SENSE": WaveletSense(iterations=100),
    "TV SENSE": TotalVariationSense(iterations=200),
}


def model_of(folder: Path, scale: float, anatomy: str) -> Model:
    """A network before it is a model: its scale is that of most anatomies, and nothing is known of features.

    One that knows no anatomies is the same for all.
    """
    network = load_model(folder)
    nothing = Quality.of(1, 1, (0.0, 0.0), (0.0, 0.0))
    one = {"origin": "real", "role": "base", "crop": None, "training_patients": 1, "largest_distance": 1.0}
    known = {
        name: AnatomyDescription(**one, scale_factor=scale, features=[0.0] * FEATURES, quality=nothing)
        for name in list(network.conditioning.anatomies) or [anatomy]
    }
    description = ModelDescription(
        name=folder.name,
        acceleration=4,
        mask=FastMRIEquispaced(),
        image_size=256,
        smoothing=None,
        metrics=MetricSettings(),
        anatomies=known,
        inverse_covariance=np.eye(FEATURES).tolist(),
        settings={},
        versions={},
        files={},
    )
    return Model(description, network)


def best_by_truth(scan: Acquisition, truth: NDArray[np.float32], settings: Sense) -> NDArray[np.float32]:
    """A classical method's volume with the weight of highest PSNR."""
    found = []
    for weight in WEIGHTS:
        images = []
        for number in range(len(scan.kspace)):
            filled = to_image(torch.from_numpy(scan.measured(slice(number, number + 1)))) / float(truth.max())
            sampled = lines(torch.from_numpy(scan.mask), -1)
            maps = torch.ones_like(filled)[:, None]
            if filled.shape[1] > 1:
                given = estimate(torch.from_numpy(scan.measured()[number]), torch.from_numpy(scan.mask[0]), sets=1).maps
                assert given is not None
                maps = given[None]
            kspace = to_hybrid(filled, -1) * sampled.unsqueeze(1)
            encoding = Encoding(sampled, -1, maps)
            measured = Measurement(encoding.adjoint(kspace), kspace, *encoding)
            images.append(sense(measured, settings, weight)[0, 0].abs().numpy() * truth.max())
        found.append(np.stack(images))
    return min(found, key=lambda volume: float(np.square(volume - truth).mean()))


def scores(truth: NDArray[np.float32], images: NDArray[np.float32]) -> str:
    """PSNR of the volume and mean SSIM of its slices."""
    largest = float(truth.max())
    psnr = -10 * np.log10(float(np.square((images - truth) / largest).mean()))
    own = [
        score_slice(one / largest, other / largest, MetricSettings()) for one, other in zip(truth, images, strict=True)
    ]
    return f"{psnr:.2f} / {np.mean([score.ssim_percent for score in own]):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a training's network")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--anatomy", default="brain")
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--scale", type=float, default=1.1, help="largest intensity over that of zero filling")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = model_of(options.model, options.scale, options.anatomy)
    columns = ["Zero filling", *METHODS, "Network"]
    print("| scan | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    rows = []
    for path in options.files:
        kspace = np.load(path)
        kspace = kspace if kspace.ndim == 4 else kspace[:, None]
        mask = draw_masks(FastMRIEquispaced(), kspace.shape[-1], options.acceleration).masks
        scan = acquisition(np.where(mask, kspace, 0), mask, "columns", "columns")
        truth = combine_coils(to_image(torch.from_numpy(kspace.astype(np.complex64)))).numpy()
        volumes = {"Zero filling": scan.zero_filled()}
        if kspace.shape[1] == 1 or not lacks_calibration(mask):
            volumes |= {name: best_by_truth(scan, truth, settings) for name, settings in METHODS.items()}
        found = model.reconstruct_volume(scan, options.anatomy)
        volumes["Network"] = combine_coils(found.images).numpy()
        shape = " x ".join(map(str, kspace.shape[-2:]))
        name = f"{path.stem}, {kspace.shape[1]} coil{'s' if kspace.shape[1] > 1 else ''}, {shape}"
        told = [scores(truth, volumes[column]) if column in volumes else "" for column in columns]
        print(f"| {name} | " + " | ".join(told) + " |", flush=True)
        rows.append((name, {"Fully sampled": truth} | volumes))
    if options.picture:
        draw(rows, options.picture)


def draw(rows: list[tuple[str, dict[str, NDArray[np.float32]]]], path: Path) -> None:
    """The middle slice of each scan by every method, and what is wrong with it."""
    figure, axes = plt.subplots(2 * len(rows), 6, figsize=(12, 4.2 * len(rows)), squeeze=False, layout="constrained")
    for number, (name, volumes) in enumerate(rows):
        truth = volumes["Fully sampled"][len(volumes["Fully sampled"]) // 2]
        for column, (method, volume) in enumerate(volumes.items()):
            image = volume[len(volume) // 2]
            axes[2 * number, column].imshow(image, cmap="gray", vmin=0, vmax=np.quantile(truth, 0.998))
            axes[2 * number, column].set_title(method, fontsize=9)
            axes[2 * number + 1, column].imshow(np.abs(image - truth), cmap="inferno", vmin=0, vmax=0.1 * truth.max())
        axes[2 * number, 0].set_ylabel(name, fontsize=8)
        axes[2 * number + 1, 0].set_ylabel("error, to 10 % of the maximum", fontsize=8)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
