"""What a reader from outside the package is written with."""

from pathlib import Path

from unimri.core.plugins import Extensible
from unimri.data.scan import Scan


class OwnReader(Extensible):
    """One format: its settings, and how its scans are found.

    A reader adds `format: Literal["its-name"] = "its-name"`, settings of its own, `find` and `open_scan`.
    """

    def find(self, folder: Path) -> list[Scan]:
        """Find the scans of a data set, without reading their voxels.

        Parameters
        ----------
        folder : where the data set lies.

        Returns
        -------
        At least one scan, in an order that depends on names and headers alone.

        Raises
        ------
        UnimriError : when the folder is missing, empty or holds nothing of the format. Faults of one scan come as
            `ReadError` from its `read`.
        """
        raise NotImplementedError

    def open_scan(self, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
        """The scan that `find` found earlier, from these attributes of it; in another process, without a search."""
        raise NotImplementedError
