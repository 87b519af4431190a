"""The file layouts of the real data sets, by name.

A layout writes every patient of a data set into a folder and yields after each, for a progress bar.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from unimri.data.simulate.layouts import acdc, chaos, decathlon, fastmri
from unimri.data.simulate.settings import SimulationSettings

Layout = Callable[[SimulationSettings, Path, int], Iterator[None]]

LAYOUTS: dict[str, Layout] = {
    "fastmri-dicom": fastmri.write,
    "acdc": acdc.write,
    "chaos-mr": chaos.write,
    "decathlon": decathlon.write,
}
