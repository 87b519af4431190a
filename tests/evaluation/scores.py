"""Rows of metrics CSVs, by what a test cares for, and the tables of such files."""

from collections import namedtuple

import pandas as pd

from unimri.evaluation import tables
from unimri.evaluation.averages import averages, check_scores, of_table1
from unimri.evaluation.paper import parameter_table
from unimri.evaluation.statistics import StatisticsSettings
from unimri.metrics import score
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import AS_TRAINED, IDENTITY, slice_columns, volume_columns, volumes_file, write_volume_scores
from unimri.report.catalogue import TABLES
from unimri.report.tables import read_table
from unimri.training.methods import METHODS

SETTINGS = MetricSettings()
COLUMNS = (*IDENTITY, "slice", *slice_columns(SETTINGS))
SliceScore = namedtuple("SliceScore", COLUMNS)
VolumeScore = namedtuple("VolumeScore", (*IDENTITY, *volume_columns(SETTINGS)))
TABULATED = [*(known.key for known in METHODS), *(f"layer{layer}" for layer in range(1, 6))]
METRICS = ("psnr_db", "ssim_percent")


def row(acceleration, seed, method, anatomy, volume, number, psnr, ssim, patient=None, mask="fixed"):
    """One slice's row; a volume is its patient's only one unless the patient is told."""
    own = (0.001, psnr - 1, ssim - 1)
    who = (AS_TRAINED, mask, acceleration, seed, method, anatomy, patient or volume, volume, number)
    return SliceScore(*who, psnr, ssim, *own)


def write_scores(path, rows):
    """Write the slices' CSV of rows or a frame, and the volumes' beside it, which score 2 less than their slices."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    score.write_scores(path, frame.to_dict("records"), SETTINGS)
    means = frame.groupby(list(IDENTITY), sort=False)[["nmse", *METRICS]].mean().reset_index()
    volumes = means.assign(**{metric: means[metric] - 2 for metric in METRICS})
    write_volume_scores(volumes_file(path), volumes.to_dict("records"), SETTINGS)


def write_tables(files, origins, folder, layer=3, settings=SETTINGS):
    """Write all tables with few resamples, and the paper's parameters."""
    parameters = parameter_table(144650, 1280, len(origins))
    resampling = StatisticsSettings(resamples=100)
    tables.write_tables(files, TABULATED, origins, settings, resampling, parameters, layer, folder)


def table1(scores, anatomies):
    """Table 1 of scores that make one, with its metrics by default."""
    check_scores(scores, anatomies)
    return of_table1(averages(scores, anatomies, METRICS))


def shown(file, folder):
    """The cells of a table of the page that are bold, and all of them."""
    entry = next(entry for entry in TABLES if entry.file == file)
    lines = [line for part in read_table(entry, folder, {}) for line in part.lines]
    # The first cells of a line are its keys.
    cells = [cell for line in lines for cell in line.cells if cell.number]
    return [cell.text for cell in cells if cell.best], [cell.text for cell in cells]
