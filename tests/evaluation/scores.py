"""Rows of metrics CSVs, by what a test cares for, and the tables of such files."""

from collections import namedtuple

import pandas as pd

from unimri.evaluation import tables
from unimri.evaluation.paper import parameter_table
from unimri.evaluation.statistics import StatisticsSettings
from unimri.metrics import score
from unimri.metrics.score import (
    AS_TRAINED,
    CHANGE,
    IDENTITY,
    read_scores,
    slice_columns,
    volume_columns,
    volumes_file,
    write_volume_scores,
)
from unimri.metrics.settings import MetricSettings

SETTINGS = MetricSettings()
COLUMNS = (*IDENTITY, "slice", *slice_columns(SETTINGS), CHANGE)
SliceScore = namedtuple("SliceScore", COLUMNS)
VolumeScore = namedtuple("VolumeScore", (*IDENTITY, *volume_columns(SETTINGS)))
METRICS = ("psnr_db", "ssim_percent")


def row(acceleration, seed, method, anatomy, volume, number, psnr, ssim, patient=None, mask="fixed"):
    """One slice's row; a volume is its patient's only one unless the patient is told."""
    what = (AS_TRAINED, mask, acceleration, seed, method, anatomy, patient or volume, volume)
    return SliceScore(*what, number, psnr, ssim, 0.001, psnr - 1, ssim - 1, float("nan"))


def write_scores(path, rows, settings=SETTINGS, **further):
    """Write the slices' CSV of rows or a frame, and the volumes' beside it, which score 2 less than their slices.

    `further` has the values of other metrics' columns, by slice.
    """
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).assign(**further)
    score.write_scores(path, frame.to_dict("records"), settings)
    means = frame.groupby(list(IDENTITY), sort=False)[["nmse", *METRICS, *further]].mean().reset_index()
    volumes = means.assign(**{metric: means[metric] - 2 for metric in METRICS})
    write_volume_scores(volumes_file(path), volumes.to_dict("records"), settings)


def write_tables(files, origins, folder, layer=3, settings=SETTINGS):
    """Write all tables of all methods with few resamples, and the paper's parameters."""
    parameters = parameter_table(144650, 1280, len(origins))
    resampling = StatisticsSettings(resamples=100)
    methods = list(read_scores(files, settings)["method"].unique()) if files else []
    tables.write_tables(files, methods, origins, settings, resampling, parameters, layer, folder)
