"""The training curves of a run, from the histories beside its models."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unimri.core.errors import UnimriError
from unimri.evaluation.figures import curves_figure


def draw_curves(histories: Mapping[str, Mapping[str, Path]], title: str, output: Path) -> None:
    """Draw the curves of all stages.

    Parameters
    ----------
    histories : `history.csv` of each training, by the title of its stage and the name of the training.
    title : of the figure.
    output : the PNG to write.

    Raises
    ------
    UnimriError : when a history is missing or damaged.
    """
    frames = {stage: {name: _read(path) for name, path in paths.items()} for stage, paths in histories.items()}
    curves_figure(frames, title, output)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as fault:
        raise UnimriError(f"{path}: not the history of a training ({fault}); train it again") from None
