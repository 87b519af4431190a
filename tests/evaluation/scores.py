"""Rows of metrics CSVs, by what a test cares for, and the tables of such files."""

import pandas as pd
from unimri.evaluation.GONE import COLUMNS, VOLUME_COLUMNS, SliceScore, VolumeScore

from unimri.evaluation import tables
from unimri.evaluation.paper import parameter_table
from unimri.evaluation.statistics import StatisticsSettings
from unimri.metrics.score import volumes_file, write_volume_scores
from unimri.metrics.score import write_scores as write_slice_scores
from unimri.metrics.settings import MetricSettings


def row(acceleration, seed, method, anatomy, volume, number, psnr, ssim, patient=None, mask="fixed"):
    """One slice's row; a volume is its patient's only one unless the patient is told."""
    own = (0.001, psnr - 1, ssim - 1)
    return SliceScore(mask, acceleration, seed, method, anatomy, patient or volume, volume, number, psnr, ssim, *own)


def write_scores(path, rows):
    """Write the slices' CSV of rows or a frame, and the volumes' beside it, which score 2 less than their slices."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    write_slice_scores(path, frame.itertuples(index=False, name=None))
    keys = list(VOLUME_COLUMNS[:-3])
    means = frame.groupby(keys, sort=False)[["nmse", "psnr_db", "ssim_percent"]].mean()
    volumes = [VolumeScore(*key, nmse, psnr - 2, ssim - 2) for key, nmse, psnr, ssim in means.itertuples(name=None)]
    write_volume_scores(volumes_file(path), volumes)


def write_tables(files, origins, folder, layer=3):
    """Write all tables with few resamples, and the paper's parameters."""
    parameters = parameter_table(144650, 1280, len(origins))
    resampling = StatisticsSettings(resamples=100)
    tables.write_tables(files, origins, MetricSettings(), resampling, parameters, layer, folder)
