"""Writing a whole simulated data set."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.data.simulate.dicom_sets import write_chaos, write_fastmri
from unimri.data.simulate.nifti_sets import write_acdc, write_decathlon
from unimri.data.simulate.settings import SimulationSettings, phantoms

Layout = Callable[[SimulationSettings, Path, int], Iterator[None]]
"""Writes every patient of a data set into a folder, with a seed, and yields after each, for a progress bar."""

LAYOUTS: dict[str, Layout] = {
    "fastmri-dicom": write_fastmri,
    "acdc": write_acdc,
    "chaos-mr": write_chaos,
    "decathlon": write_decathlon,
}
"""The file layouts of the real data sets, by name."""


def layout_of(anatomy: str) -> str:
    """Give the name of the layout in which an anatomy is simulated, such as "fastmri-dicom"."""
    return phantoms()[anatomy].layout


def simulate(settings: SimulationSettings, output: Path, seed: int) -> None:
    """Write what a user would have on disk after downloading an anatomy's real data set, whole or not at all.

    Parameters
    ----------
    settings : which anatomy and how much of it.
    output : the folder to write; what stood there before is replaced.
    seed : equal seeds give equal bytes, and each patient's files depend only on the seed and the patient's
        number, not on how many there are. At least 0.

    Raises
    ------
    UnimriError : when a phantom of another package asks for a layout that there is not.
    """
    layout = layout_of(settings.anatomy)
    if layout not in LAYOUTS:
        raise UnimriError(
            f"phantom {settings.anatomy}: its layout is {layout!r}; allowed: {', '.join(LAYOUTS)}; correct its package"
        )
    write = LAYOUTS[layout]
    with replacing(output) as temporary:
        temporary.mkdir()
        patients = write(settings, temporary, seed)
        # disable=None: no bar where there is no terminal to draw it on.
        for _ in tqdm(patients, settings.anatomy, settings.patients, unit="patient", disable=None):
            pass
