"""A finished experiment's results folder, written by hand: small, and with every table and figure that there can be."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ANATOMIES = ("brain", "knee", "prostate")
METHODS = ("undersampled", "independent", "shared", "proposed", "without_distillation")
LABELS = ("Undersampled", "Independent", "Shared", "Proposed", "w/o MD")
ACCELERATIONS = ("4", "6")
METRICS = ("psnr_db", "ssim_percent")
BASE = {"undersampled": 25.0, "independent": 34.0, "shared": 33.0, "proposed": 36.0, "without_distillation": 35.5}

UNDECIDED = '"undecided (6 supported, 0 contradicted, 14 undecided of 20)"'

CONFIG: dict[str, Any] = {
    "seed": 2021,
    "results": "results",
    "private": "/home/someone/private",
    "accelerations": [4.0, 6.0],
    "anatomies": {
        "brain": {"role": "base", "path": None, "reader": {"format": "dicom"}},
        "knee": {"role": "base", "path": None, "reader": {"format": "dicom"}},
        "prostate": {"role": "new", "path": None, "reader": {"format": "decathlon"}},
    },
    "preparation": {"image_size": 64},
    "network": {"name": "d5c5", "cascades": 5, "width": 32},
    "training": {"seeds": [2021]},
    "distillation": {"layer": 3, "omega": 1e-6},
}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


class Experiment:
    """Writes the tables and figures of an experiment below a folder; every number is of one seeded draw."""

    def __init__(self, results: Path, anatomies: Sequence[str] = ANATOMIES, methods: Sequence[str] = METHODS) -> None:
        self.results, self.anatomies, self.methods = results, list(anatomies), list(methods)
        self.tables = results / "tables"
        self.rng = np.random.default_rng(0)

    def value(self, method: str = "proposed", metric: str = "psnr_db") -> float:
        psnr = BASE.get(method, 35.0) + self.rng.normal(0, 0.6)
        return psnr if metric == "psnr_db" else 0.02 if metric == "nmse" else 60 + psnr

    def _values(self, method: str = "proposed", metric: str = "psnr_db") -> list[str]:
        own = [self.value(method, metric) for _ in self.anatomies]
        return [f"{value:.6f}" for value in (*own, float(np.mean(own)))]

    def _table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        write_table(self.tables / name, columns, rows)

    def table1(self) -> None:
        """Table 1 with deviations and the paper's numbers, and where the data come from."""
        keys = [(rate, method, metric) for rate in ACCELERATIONS for metric in METRICS for method in self.methods]
        columns = ["acceleration", "method", "metric", *self.anatomies, "average"]
        self._table("table1.csv", columns, [(*key, *self._values(*key[1:])) for key in keys])
        spread = ["0.123456"] * (len(self.anatomies) + 1)
        self._table("table1_deviation.csv", columns, [(*key, *spread) for key in keys])
        self._table(
            "table1_published.csv",
            ["acceleration", "method", "metric", "anatomy", "ours", "published", "difference"],
            [(*key, anatomy, 38.0, 40.25, -2.25) for key in keys for anatomy in self.anatomies],
        )
        self.origins(dict.fromkeys(self.anatomies, "simulated"))

    def best(self, *cells: Sequence[Any]) -> None:
        """Which cells are the best beyond doubt: table, metric, anatomy, best; all at 4x in the first convention."""
        columns = ["table", "metric", "anatomy", "best", "convention", "acceleration", "verdict"]
        self._table("best.csv", columns, [(*cell, "unit_range", 4, "supported") for cell in cells])

    def origins(self, origins: dict[str, str]) -> None:
        (self.tables / "origins.json").write_text(json.dumps(origins, sort_keys=True))

    def other_results(self) -> None:
        """The tables that stand beside Table 1."""
        averaged = [*self.anatomies, "average"]
        layers = [(rate, layer, metric) for rate in ACCELERATIONS for metric in METRICS for layer in ("none", 1, 2, 3)]
        columns = ["acceleration", "distilled_layer", "metric"]
        self._table("table_s2.csv", [*columns, *averaged], [(*key, *self._values("x", key[2])) for key in layers])
        self._table(
            "parameters.csv",
            ["method", "parameters", "times_backbone", "for_each_anatomy", "for_each_anatomy_percent"],
            [("shared", 144650, "1.000000", 0, "0.000000"), ("proposed", 151050, "1.044245", 1280, "0.884895")],
        )
        self._table(
            "claims.csv",
            ["claim", "where", "statement", "orderings", "supported", "contradicted", "undecided", "verdict"],
            [
                ("Proposed is best", "Table 1", "Proposed is above every other method", 1, 1, 0, 0, "supported"),
                ("Distillation helps", "Table 1", "Proposed is above w/o MD", 20, 6, 0, 14, UNDECIDED),
                ("One network is enough", "Table 1", "Shared is above Independent", 1, 0, 1, 0, "contradicted"),
                (
                    "Layer 3 is best",
                    "Table S2",
                    "Distilling layer 3 is above the others",
                    0,
                    0,
                    0,
                    0,
                    "not checked here (its layers were not distilled)",
                ),
            ],
        )
        others = [method for method in self.methods if method != "proposed"]
        columns = ["acceleration", "metric", "anatomy", "other", "difference", "low", "high", "patients", "seeds"]
        rows = []
        for rate in ACCELERATIONS:
            for metric in METRICS:
                for other in others:
                    for anatomy in averaged:
                        middle = 36 - BASE.get(other, 35.0) + self.rng.normal(0, 0.3)
                        half = abs(self.rng.normal(0.6, 0.3))
                        p = 0.0004 if abs(middle) > half else 0.2
                        word = "undecided" if abs(middle) <= half else "supported" if middle > 0 else "contradicted"
                        known = f"{middle - half:.6f}", f"{middle + half:.6f}", 4, 1, p, min(1, 5 * p), word
                        rows.append((rate, metric, anatomy, other, f"{middle:.6f}", *known))
        self._table("comparisons.csv", [*columns, "p_value", "p_corrected", "verdict"], rows)
        self._table(
            "conventions.csv",
            ["convention", "acceleration", "method", "metric", *averaged],
            [
                (convention, rate, method, metric, *self._values(method, metric))
                for rate in ACCELERATIONS
                for metric in (*METRICS, "nmse")
                for convention in ("unit_range", "slice_maximum", "volume_maximum")
                for method in self.methods
            ],
        )

    def studies(self) -> None:
        """The tables and figures of every study."""
        averaged = [*self.anatomies, "average"]
        self._table(
            "robustness.csv",
            ["trained", "condition", "method", "metric", *averaged],
            [
                ("4x", condition, method, metric, *self._values(method, metric))
                for metric in METRICS
                for condition in ("as trained", "5x", "4x-schlemper", "noise 0.02")
                for method in ("undersampled", "independent", "shared", "proposed")
            ],
        )
        self._table(
            "aspin_matrix.csv",
            ["acceleration", "metric", "anatomy", "aspin", "value", "difference"],
            [
                (4, metric, own, other, 36 if own == other else 33.5, 0 if own == other else -2.5)
                for metric in METRICS
                for own in self.anatomies
                for other in self.anatomies
            ],
        )
        self._table(
            "adaptation.csv",
            ["acceleration", "metric", "method", "patients", *averaged],
            [
                (4, metric, method, patients, *self._values("x", metric))
                for metric in METRICS
                for method in ("aspin", "finetuned", "scratch")
                for patients in (1, 2, 4, "all")
            ],
        )
        self._table(
            "forgetting.csv",
            ["acceleration", "method", "new", "anatomy", "before", "after", "difference", "largest_pixel_change"],
            [
                (4, method, self.anatomies[-1], anatomy, 36, 36 + lost, lost, abs(lost) / 50)
                for method, lost in (("aspin", 0.0), ("finetuned", -1.5))
                for anatomy in self.anatomies[:2]
            ],
        )
        self._table(
            "masks.csv",
            ["mask", "acceleration", "method", "metric", *averaged],
            [
                (mask, rate, method, metric, *self._values(method, metric))
                for rate in ACCELERATIONS
                for metric in METRICS
                for mask in ("paper-like", "schlemper")
                for method in self.methods
            ],
        )
        for name in ("adaptation", "aspin_matrix"):
            self.png(self.results / "figures" / "4x" / f"{name}.png")

    def png(self, path: Path, width: int = 240, height: int = 120) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
        Image.fromarray(ramp).save(path)

    def slices(self, path: Path, title: str, labels: Sequence[str] = LABELS, truth: Any = None) -> None:
        """The slices of one figure, as the contract of `figures/{sampling}/{anatomy}.npz` has them."""
        if truth is None:
            rows, columns = np.mgrid[-1:1:32j, -1:1:32j]
            truth = np.clip(1 - np.hypot(rows, columns), 0, 1) + 0.2 * (np.sin(9 * columns) > 0.5)
        truth = np.clip(truth, 0, 1).astype(np.float32)
        noise = [self.rng.normal(0, 0.08 / (1 + number), truth.shape) for number in range(len(labels))]
        images = np.stack([np.clip(truth + own, 0, 1) for own in noise]).astype(np.float32)
        about = {
            "methods": list(self.methods[: len(labels)]),
            "labels": list(labels),
            "scores": [[25.0 + number, 80.0 + number] for number in range(len(labels))],
            "simulated": True,
            "title": title,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, truth=truth, images=images, about=np.array(json.dumps(about)))

    def figures(self) -> None:
        """Figures of the slices, the data, the trainings and the masks."""
        for rate in ACCELERATIONS:
            for anatomy in self.anatomies:
                self.png(self.results / "figures" / f"{rate}x" / f"{anatomy}.png", 1200, 400)
                self.slices(self.results / "figures" / f"{rate}x" / f"{anatomy}.npz", f"{anatomy}, {rate}x")
            self.png(self.results / "figures" / f"{rate}x" / "curves.png", 1200, 400)
            self.png(self.results / "masks" / f"{rate}x.png")
        for name in (*self.anatomies, "histograms"):
            self.png(self.results / "figures" / "data" / f"{name}.png")

    def data(self) -> None:
        """Counts, manifests, what was left out."""
        splits = (("train", 16), ("validation", 2), ("test", 2))
        self._table(
            "data.csv",
            ["anatomy", "split", "patients", "volumes", "slices"],
            [(name, split, count, count, 10 * count) for name in self.anatomies for split, count in splits],
        )
        for name in self.anatomies:
            folder = self.results / "data" / name
            write_table(folder / "manifest.csv", ["volume", "shard", "shard_sha256"], [("v", "shard-000.h5", "a" * 64)])
            write_table(folder / "skipped.csv", ["volume", "digest", "reason"], [])
        skipped = [("u", "b" * 64, "too few slices"), ("w", "c" * 64, "too few slices")]
        write_table(self.results / "data" / "brain" / "skipped.csv", ["volume", "digest", "reason"], skipped)

    def models(self) -> None:
        """Weights, which here are any bytes, with their JSON."""
        about: dict[str, Any] = {"parameters": 144650, "best_validation_psnr_db": 38.25, "code": "c1c2e4904709519e"}
        about["task"] = {"optimisation": {"precision": "float32"}}
        folder = self.results / "4x" / "seed2021" / "shared"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "model.json").write_text(json.dumps(about | {"versions": {"torch": "2.13.0", "numpy": "2.4.6"}}))

    def benchmarks(self) -> None:
        """Snakemake's benchmarks: one job was too short to be measured, one made the page before."""
        header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
        for name, line in (
            ("mask/4x", "0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA"),
            ("4x/seed2021/shared", "61.5\t0:01:01\t512.25\t1\t1\t1\t0\t0\t98\t60.5"),
            ("report", "9\t0:00:09\t999\t1\t1\t1\t0\t0\t98\t9"),
            ("4x/scores/brain", "4\t0:00:04\t300\t1\t1\t1\t0\t0\t98\t3"),
            ("4x/scores/knee", "6\t0:00:06\t310\t1\t1\t1\t0\t0\t98\t5"),
        ):
            path = self.results / "benchmarks" / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{header}{line}\n")

    def whole(self) -> None:
        """All of it."""
        self.table1()
        self.other_results()
        self.studies()
        self.figures()
        self.data()
        self.models()
        self.benchmarks()
