"""Paired comparisons of methods: which is better, by how much, and how far few patients let that be trusted.

Orderings, comparisons and claims are read from one table of differences. Slices of one patient are alike, and two
methods see the same slices. So the unit is the patient, and both methods are taken on the same patients:
docs/why/statistics.md.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.settings import Settings
from unimri.evaluation.averages import AVERAGE, Cell, anatomies_of, cells, wide
from unimri.metrics.base import metric_of
from unimri.training.methods import METHODS

FEW_PATIENTS = 6
"""With fewer the two-sided signed-rank test cannot reach 0.05, whatever the differences, and intervals are too
narrow."""

_EXACT_WITH_TIES = 13

DIFFERENCE_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "above",
    "below",
    "above_value",
    "below_value",
    "difference",
    "better_seeds",
    "seeds",
)
COMPARISON_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "other",
    "difference",
    "low",
    "high",
    "patients",
    "seeds",
    "p_value",
    "p_corrected",
    "few_patients",
    "verdict",
)
LEAD_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "best",
    "second",
    "difference",
    "low",
    "high",
    "few_patients",
    "verdict",
)
SUPPORTED, CONTRADICTED, UNDECIDED = VERDICTS = ("supported", "contradicted", "undecided")
"""What an interval says of "the first is better": all of it does, all of it says the reverse, or it holds zero."""
CLEAR = "where the confidence interval of its difference to the next best, over patients, leaves zero out"
"""When the best of a column is bold."""
NO_INTERVAL = "one test patient, or a seed that is missing"
"""Why there is none."""


class StatisticsSettings(Settings):
    """How intervals of differences are made."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples of the patients")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    seed: int = Field(0, ge=0, description="seed of the resampling")

    @property
    def percent(self) -> str:
        """The confidence, for headings."""
        return f"{100 * self.confidence:g} %"


class Pair(NamedTuple):
    """Two methods, by key, the one that should be better first; differences are `above` minus `below`."""

    above: str
    below: str


PROPOSED_PAIRS = tuple(Pair("proposed", known.key) for known in METHODS if known.key != "proposed")
"""Proposed and each other method of Table 1, in its order."""


@dataclass(frozen=True)
class _Anatomy:
    """What an anatomy's patients score.

    Attributes
    ----------
    sums : over each patient's slices, float64 (methods, metrics, seeds, patients); NaN for a method without scores.
    slices : how many of them each patient has, int64 (metrics, patients): a ratio has no value of an empty slice.
    """

    sums: NDArray[np.float64]
    slices: NDArray[np.int64]

    @property
    def patients(self) -> int:
        return self.slices.shape[1]

    def means(self, patients: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        """Table 1's mean over slices and seeds of resamples: (methods, metrics, B).

        Parameters
        ----------
        patients, seeds : indices, int64 (B, patients) and (B, seeds), with repetitions.
        """
        weights, seed_weights = _times(patients, self.patients), _times(seeds, self.sums.shape[2])
        totals = np.tensordot(self.sums, weights, axes=([3], [1]))
        total: NDArray[np.float64] = np.einsum("mksb,bs->mkb", totals, seed_weights)
        # Of patients without a value the interval is taken out in `_intervals`.
        with np.errstate(invalid="ignore"):
            return total / (seed_weights.sum(axis=1) * (weights @ self.slices.T).T)


def differences(table: pd.DataFrame, pairs: Sequence[Pair], by_seed: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Take the differences of pairs of methods, in every column of a table.

    Parameters
    ----------
    table : from `unimri.evaluation.averages.averages`.
    pairs : methods to compare.
    by_seed : the same of each seed alone.

    Returns
    -------
    frame with the columns `DIFFERENCE_COLUMNS`, one row for each acceleration, metric, pair, and anatomy or `average`
    for which the table has both values, in this order. `difference` is in the metric's unit, to six decimals; in
    `better_seeds` of `seeds` (int64) the first is strictly better, in the direction of the metric.
    """
    values, alone = cells(table), [cells(one) for one in by_seed]
    rows = []
    for acceleration in table["acceleration"].unique():
        for column in table["metric"].unique():
            metric = metric_of(column)
            for pair in pairs:
                for anatomy in (*anatomies_of(table), AVERAGE):
                    above, below = ((acceleration, name, column, anatomy) for name in pair)
                    difference = rounded_difference(values, above, below)
                    if math.isnan(difference):
                        continue
                    better = sum(metric.gain(rounded_difference(one, above, below)) > 0 for one in alone)
                    both = values[above], values[below]
                    rows.append((acceleration, column, anatomy, *pair, *both, difference, better, len(alone)))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).astype({"difference": "float64"})


def verdict(low: float, high: float) -> str:
    """Judge a gain by its interval: one of `VERDICTS`. What has no interval (NaN) is undecided."""
    if low > 0 and high > 0:
        return SUPPORTED
    return CONTRADICTED if low < 0 and high < 0 else UNDECIDED


def verdicts(found: pd.DataFrame) -> list[str]:
    """The verdict on each row of a table of differences, in the direction of its metric."""
    rows = found[["metric", "low", "high"]].itertuples(index=False, name=None)
    return [verdict(*map(metric_of(metric).gain, ends)) for metric, *ends in rows]


def tally(found: Iterable[str]) -> str:
    """Count verdicts in words: 0 supported, 2 contradicted, 6 undecided of 8."""
    counts = Counter(found)
    return f"{', '.join(f'{counts[name]} {name}' for name in VERDICTS)} of {sum(counts[name] for name in VERDICTS)}"


def rounded_difference(values: Mapping[Any, float], above: Any, below: Any) -> float:
    """Above minus below, of a table's cells, to six decimals; NaN where one is missing."""
    return round(values.get(above, math.nan) - values.get(below, math.nan), 6)


def of_proposed(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of differences that compare Proposed with another method of Table 1, called `other`."""
    rows = found[(found["above"] == "proposed") & found["below"].isin([pair.below for pair in PROPOSED_PAIRS])]
    return rows.drop(columns="above").rename(columns={"below": "other"}).reset_index(drop=True)


def compare(
    scores: pd.DataFrame,
    table: pd.DataFrame,
    pairs: Sequence[Pair],
    settings: StatisticsSettings,
    by_seed: Sequence[pd.DataFrame] = (),
) -> pd.DataFrame:
    """Give the difference of methods in Table 1's means, with its bootstrap interval over patients.

    The percentile interval of `scipy.stats.bootstrap`: the patients of each anatomy are drawn again with replacement,
    the same for all methods, and Table 1's mean over their slices is taken again (a patient with more slices weighs
    more, as in the table). For `average` each anatomy's patients are drawn by themselves, and the anatomies' means are
    averaged.

    With several seeds a difference is the mean over them. Patients and seeds are crossed: each seed's networks see the
    same patients. So each resample draws seeds with replacement too, and takes every drawn patient with every drawn
    seed; the interval then holds what another training would change. Two or three seeds tell little of that.

    Parameters
    ----------
    scores : one row a slice and seed, from `unimri.metrics.score.read_scores`.
    table, pairs, by_seed : as in `differences`; the table is the scores' averages.

    Returns
    -------
    frame of `differences`, and the columns low, high (float64, in the metric's unit, to
    six decimals), patients, seeds (int64), few_patients (bool). The interval is NaN for one patient, for a method that
    lacks a seed that another has, and an average's when an anatomy's is; below `FEW_PATIENTS` (an average: in any
    anatomy) the last column is true, and the interval is too narrow.
    """
    columns, metrics = anatomies_of(table), list(table["metric"].unique())
    found = differences(table, pairs, by_seed)
    rows = []
    for acceleration in found["acceleration"].unique():
        own = found[found["acceleration"] == acceleration]
        methods, content, seeds = _sums(scores[scores["acceleration"] == acceleration], columns, metrics)
        compared = list(dict.fromkeys(own[["above", "below"]].itertuples(index=False, name=None)))
        places = [(methods.index(above), methods.index(below)) for above, below in compared]
        low, high = _intervals(content, seeds, places, settings)
        patients = {name: anatomy.patients for name, anatomy in content.items()}
        fewest = {**patients, AVERAGE: min(patients.values())}
        for metric, column, *pair in own[["metric", "anatomy", "above", "below"]].to_numpy().tolist():
            cell = compared.index(tuple(pair)), metrics.index(metric), [*columns, AVERAGE].index(column)
            count = patients.get(column, sum(patients.values()))
            rows.append((low[cell], high[cell], count, seeds, fewest[column] < FEW_PATIENTS))
    sure = pd.DataFrame(rows, columns=["low", "high", "patients", "seeds", "few_patients"])
    kinds = {"low": "float64", "high": "float64", "few_patients": "bool"}
    return found.drop(columns="seeds").join(sure.astype(kinds).round({"low": 6, "high": 6}))


def leads(
    scores: pd.DataFrame,
    anatomies: Sequence[str],
    metrics: Sequence[str],
    settings: StatisticsSettings,
    within: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare the best of each column of a table with the next best, on the same patients.

    Parameters
    ----------
    scores : one row a slice and seed; those of a table's rows alone, which their `method` tells apart.
    anatomies, metrics : columns and metrics of the table.
    settings : how intervals are made.
    within : columns of the scores beside the acceleration, within whose values alone rows are compared.

    Returns
    -------
    frame with the columns `within` and `LEAD_COLUMNS`; rows as of `differences`. The verdict is on "`best` is better
    than `second`". A column of fewer than two values has no row.
    """
    frames = []
    for place, own in scores.groupby([*within, "acceleration"]):
        table = wide(own, ["acceleration", "method"], anatomies, metrics)
        # An anatomy without patients cannot be drawn from; the average is then missing.
        table = table.drop(columns=[name for name in anatomies if table[name].isna().all()])
        firsts = _firsts(table)
        if not firsts.empty:
            pairs = [Pair(*both) for both in firsts[["above", "below"]].drop_duplicates().to_numpy()]
            found = compare(own, table, pairs, settings).merge(firsts)
            frames.append(found.assign(**dict(zip(within, map(str, place), strict=False)), verdict=verdicts(found)))
    columns = [*within, *LEAD_COLUMNS]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True).rename(columns={"above": "best", "below": "second"})[columns]


def _firsts(table: pd.DataFrame) -> pd.DataFrame:
    """The best of each column of a table, `above`, and the next best, `below`."""
    rows = []
    for (acceleration, metric), own in table.groupby(["acceleration", "metric"], sort=False):
        gain = metric_of(str(metric)).gain
        for column in (*anatomies_of(table), AVERAGE):
            gains = own.set_index("method")[column].dropna().map(gain)
            # Of equals the order of the files must not choose.
            first = gains.sort_index().sort_values(ascending=False, kind="stable").index[:2]
            if len(first) == 2:
                rows.append((acceleration, metric, column, *first))
    return pd.DataFrame(rows, columns=["acceleration", "metric", "anatomy", "above", "below"])


def clear_cells(found: pd.DataFrame) -> set[Cell]:
    """Cells that are the best of their column beyond doubt: those to be bold, of a frame from `leads`."""
    sure = found[found["verdict"] == SUPPORTED]
    return set(sure[["acceleration", "best", "metric", "anatomy"]].itertuples(index=False, name=None))


def comparisons(compared: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Compare Proposed with every other method of Table 1, with intervals and tests.

    The test is Wilcoxon's signed-rank test, two-sided, of the patients' mean differences (over their slices and the
    seeds); for `average` of the patients of all anatomies together, each with the same weight. scipy takes the exact
    distribution where it can. The p-values of the whole frame are one family for Holm's correction.

    Parameters
    ----------
    compared : from `compare`.
    scores : that it was made from.

    Returns
    -------
    frame with the columns `COMPARISON_COLUMNS`: as those of `compare`, `other` being the method that Proposed is
    compared with. Both p-values are NaN for one patient. `verdict` is on "Proposed is better".
    """
    frame = of_proposed(compared)
    metrics, columns = list(frame["metric"].unique()), [name for name in frame["anatomy"].unique() if name != AVERAGE]
    found: dict[tuple[float, str, str, str], float] = {}
    for acceleration in frame["acceleration"].unique():
        methods, content, _ = _sums(scores[scores["acceleration"] == acceleration], columns, metrics)
        patients = {name: _patients_differences(anatomy, methods) for name, anatomy in content.items()}
        patients[AVERAGE] = np.concatenate(list(patients.values()), axis=-1)
        for name, of_anatomy in patients.items():
            for other, of_method in zip(methods, of_anatomy, strict=True):
                for metric, of_metric in zip(metrics, of_method, strict=True):
                    found[(acceleration, metric, name, other)] = signed_rank_p(of_metric)
    keys = frame[["acceleration", "metric", "anatomy", "other"]].itertuples(index=False, name=None)
    p_values = np.array([found[key] for key in keys], dtype=np.float64)
    frame = frame.assign(p_value=p_values, p_corrected=holm(p_values), verdict=verdicts(frame))
    return frame[list(COMPARISON_COLUMNS)]


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, of float64 (n,): NaN for n = 1, 1 when none differs from zero.

    Zeros are left out, as Wilcoxon does. The distribution is exact where `scipy.stats.wilcoxon` has it so, up to 50
    values without ties and up to 13 with them; else it is the normal approximation.
    """
    if len(differences) < 2 or np.isnan(differences).any():
        return math.nan
    others = differences[differences != 0]
    if not len(others):
        return 1.0
    if len(np.unique(np.abs(others))) == len(others) or len(others) > _EXACT_WITH_TIES:
        return float(scipy.stats.wilcoxon(others).pvalue)
    # scipy's own way with ties ranks all 2^n signs one by one, which takes seconds.
    signed_ranks = np.sign(others) * scipy.stats.rankdata(np.abs(others))
    signs = scipy.stats.permutation_test(
        [signed_ranks], np.sum, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    return float(signs.pvalue)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction, which bounds the chance of any false finding: float64 (n,).

    NaN stays NaN and counts for nothing.
    """
    corrected = np.full(len(p_values), math.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def _sums(
    scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]
) -> tuple[list[str], dict[str, _Anatomy], int]:
    """Methods, the sums of each anatomy, how many seeds; of one acceleration."""
    methods, seeds = sorted(scores["method"].unique()), sorted(scores["seed"].unique())
    # Sums depend on their order, and it must not be that of the files.
    ordered = scores.sort_values(["anatomy", "patient", "volume", "slice"], kind="stable")
    content = {}
    for anatomy in anatomies:
        own = ordered[ordered["anatomy"] == anatomy]
        patients = sorted(own["patient"].unique())
        groups = own.groupby(["method", "seed", "patient"])[list(metrics)]
        whole = pd.MultiIndex.from_product([methods, seeds, patients])
        shape = len(methods), len(seeds), len(patients), len(metrics)
        sums = groups.sum().reindex(whole).to_numpy().reshape(shape).transpose(0, 3, 1, 2)
        # Which slices have a value depends on the truth alone, so any method says it.
        slices = own.drop_duplicates(["patient", "volume", "slice"]).groupby("patient")[list(metrics)].count()
        content[anatomy] = _Anatomy(sums, slices.reindex(patients).to_numpy(np.int64).T)
    return methods, content, len(seeds)


def _times(drawn: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """How often each of `count` was drawn in each resample: indices (B, n) to numbers (B, count)."""
    places = drawn + count * np.arange(len(drawn))[:, None]
    return np.bincount(places.ravel(), minlength=count * len(drawn)).reshape(len(drawn), count).astype(np.float64)


def _intervals(
    content: Mapping[str, _Anatomy], seeds: int, pairs: Sequence[tuple[int, int]], settings: StatisticsSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the intervals, each (pairs, metrics, anatomies and average); NaN where there is none."""
    sizes = {"": seeds, **{name: anatomy.patients for name, anatomy in content.items()}}
    # scipy draws from samples of two or more.
    drawn_from = [name for name, size in sizes.items() if size > 1]
    above, below = (np.array(side) for side in zip(*pairs, strict=True))

    def statistic(*samples: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        drawn = dict(zip(drawn_from, samples, strict=True))
        alone = np.zeros((len(samples[0]), 1), dtype=np.int64)
        means = [anatomy.means(drawn.get(name, alone), drawn.get("", alone)) for name, anatomy in content.items()]
        columns = np.stack([*means, np.mean(means, axis=0)], axis=2)
        # scipy warns of NaN; what comes of a method without scores of an anatomy is taken out below.
        return np.nan_to_num(columns[above] - columns[below])

    count = next(iter(content.values())).sums.shape[1]
    missing = np.full((len(pairs), count, len(content) + 1), math.nan)
    if all(anatomy.patients == 1 for anatomy in content.values()):
        return missing, missing.copy()
    result = scipy.stats.bootstrap(
        [np.arange(sizes[name]) for name in drawn_from],
        statistic,
        n_resamples=settings.resamples,
        vectorized=True,
        axis=-1,
        confidence_level=settings.confidence,
        method="percentile",
        rng=np.random.default_rng(settings.seed),
    )
    known = np.array(
        [
            (anatomy.patients > 1) & ~np.isnan(anatomy.sums).any(axis=(2, 3)) & (anatomy.slices > 0).all(axis=1)
            for anatomy in content.values()
        ]
    )
    known = np.stack([*known, known.all(axis=0)], axis=2)
    both = known[above] & known[below]
    ends = result.confidence_interval
    return np.where(both, ends.low, math.nan), np.where(both, ends.high, math.nan)


def _patients_differences(anatomy: _Anatomy, methods: Sequence[str]) -> NDArray[np.float64]:
    """Proposed minus each method: mean over slices and seeds of each patient, (methods, metrics, patients)."""
    with np.errstate(invalid="ignore"):
        means = anatomy.sums.mean(axis=2) / anatomy.slices
    # Differences that are equal but for rounding are ties, and zeros, to the ranks.
    difference: NDArray[np.float64] = np.round(means[list(methods).index("proposed")] - means, 9)
    return difference
