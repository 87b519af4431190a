"""The index of a data set: which scans it holds, under which keys, in which shard each belongs, and its splits.

It is the one thing that joins keys to names. It names patients and files, and belongs in a private folder.
Patients, never slices, are divided into those to train, validate and test on.
"""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from pydantic import Field, model_validator

from unimri.core.artifacts import write_private
from unimri.core.errors import ReadError, UnimriError
from unimri.core.settings import Settings, read_settings
from unimri.data.layouts import ReaderSettings
from unimri.data.reader import find_scans
from unimri.data.store import SPLITS, Split, shard_name
from unimri.io.volume import Passed, Scan, passed_lines

log = logging.getLogger(__name__)

# How many keys one line of the log tells.
_KEYS = 20


class Fractions(Settings):
    train: float = Field(0.8, gt=0, lt=1, description="Fraction of the patients to train on.")
    validation: float = Field(0.1, gt=0, lt=1, description="Fraction of the patients to choose the best epoch by.")
    test: float = Field(0.1, gt=0, lt=1, description="Fraction of the patients that the results are of.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1, not to {total:g}")
        return self


class IndexTask(Settings):
    """All that an index is made from, apart from the scans and the seed."""

    reader: ReaderSettings
    shards: int = 1
    key_file: Path | None = None
    splits: Path | None = None


class Fault(Settings):
    """What finding already knew to be wrong with a scan; see `ReadError`."""

    source: str
    reason: str
    mend: str


class Entry(Settings):
    """One scan: its keys, and what they stand for.

    Attributes
    ----------
    volume, patient : keys, 16 hexadecimal digits each.
    split : that a file of splits gives its patient; None where there is no such file.
    patient_name, name : as in `Scan`, quoted.
    sources : its paths below the data set's folder, quoted.
    fault : why it cannot be read, where that is already known.
    note : as in `Scan`.

    Quoted: bytes that are not plain ASCII as %XX, because names of files need not be valid Unicode.
    """

    volume: str
    patient: str
    split: Split | None
    patient_name: str
    name: str
    sources: list[str]
    fault: Fault | None
    note: str = ""

    @classmethod
    def of(cls, scan: Scan, folder: Path, anatomy: str, secret: bytes, split: Split | None) -> Self:
        """Of a scan that was found in a data set's folder; `secret` keys its keys."""

        def below(path: Path) -> str:
            return _quote(os.fspath(path.relative_to(folder)))

        fault = scan.fault
        return cls(
            volume=key(anatomy, scan.name, secret),
            patient=key(anatomy, scan.patient, secret),
            split=split,
            patient_name=_quote(scan.patient),
            name=_quote(scan.name),
            sources=[below(path) for path in scan.paths],
            fault=None if fault is None else Fault(source=below(fault.path), reason=fault.reason, mend=fault.mend),
            note=scan.note,
        )

    def scan(self, folder: Path) -> Scan:
        """The scan again."""
        fault = self.fault
        return Scan(
            _unquote(self.name),
            tuple(folder / _unquote(source) for source in self.sources),
            None if fault is None else ReadError(folder / _unquote(fault.source), fault.reason, fault.mend),
            _unquote(self.patient_name),
            self.note,
        )


class PassedFile(Settings):
    """A file that is passed over: its key, its path below the data set's folder, quoted as in `Entry`, and why."""

    key: str
    source: str
    reason: str


class Index(Settings):
    """The scans of one shard, in the order of their keys, and its part of what is passed over."""

    anatomy: str
    entries: list[Entry]
    passed: list[PassedFile] = Field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        UnimriError
            When the file is missing or damaged.
        """
        if not path.exists():
            raise UnimriError(f"{path}: no such file; run `unimri index` first")
        return read_settings(cls, path, "run `unimri index` again")

    def save(self, path: Path) -> None:
        """Write the index to a file that only its owner can read."""
        write_private(path, self.model_dump_json(indent=1) + "\n")


def index_scans(anatomy: str, folder: Path, task: IndexTask, seed: int) -> list[Index]:
    """Find the scans of a data set and divide them among shards, without reading their voxels.

    The order is that of the keys, so that not even the order in the artifacts repeats that of the names.

    Parameters
    ----------
    anatomy : its name in the configuration.
    folder : the data set.
    task : how to find the scans, and how many shards.
    seed : of the keys, unless `task.key_file` is given.

    Returns
    -------
    One index a shard; shards hold equally many volumes, to within one.

    Raises
    ------
    UnimriError
        When nothing is found, there are fewer than three patients, or the key file or the file of splits does not
        serve.
    """
    scans, others = find_scans(task.reader, folder)
    secret = _secret(task.key_file, seed)
    splits = None if task.splits is None else _splits(task.splits, {scan.patient for scan in scans})
    try:
        check_patients(scan.patient for scan in scans)
    except UnimriError as error:
        raise UnimriError(f"{folder}: {error}") from error
    entries = sorted(
        (Entry.of(scan, folder, anatomy, secret, None if splits is None else splits[scan.patient]) for scan in scans),
        key=lambda entry: entry.volume,
    )
    passed = sorted(
        (
            PassedFile(
                key=key(anatomy, os.fspath(one.path.relative_to(folder)), secret),
                source=_quote(os.fspath(one.path.relative_to(folder))),
                reason=one.reason,
            )
            for one in others
            if not one.companion
        ),
        key=lambda one: one.key,
    )
    for entry in entries:
        if entry.fault is not None:
            log.warning("volume %s cannot be used: %s; %s", entry.volume, entry.fault.reason, entry.fault.mend)
    _log(passed, [one for one in others if one.companion], folder)
    return [
        Index(anatomy=anatomy, entries=entries[number :: task.shards], passed=passed[number :: task.shards])
        for number in range(task.shards)
    ]


def _log(passed: list[PassedFile], companions: list[Passed], folder: Path) -> None:
    """What is passed over: by keys, since the log names nobody."""
    for line in passed_lines(companions, folder, private=True):
        log.info("%s", line)
    reasons: dict[str, list[str]] = {}
    for one in passed:
        reasons.setdefault(one.reason, []).append(one.key)
    for reason, keys in reasons.items():
        more = f" and {len(keys) - _KEYS} more" if len(keys) > _KEYS else ""
        log.warning("passed over: %d file(s) (%s): %s%s", len(keys), reason, ", ".join(keys[:_KEYS]), more)


def key(anatomy: str, raw: str, secret: bytes) -> str:
    """Key that stands for a patient's or volume's own name: 16 hexadecimal digits."""
    return blake2b(f"{anatomy}/{raw}".encode("utf-8", "surrogateescape"), key=secret, digest_size=8).hexdigest()


def _secret(path: Path | None, seed: int) -> bytes:
    if path is None:
        return str(seed).encode()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnimriError(f"{path}: the key file cannot be read; check the path and its permissions") from error
    if len(content) < 16:
        raise UnimriError(f"{path}: a key of {len(content)} bytes can be guessed; give 16 random bytes or more")
    return blake2b(content).digest()


def _splits(path: Path, patients: set[str]) -> dict[str, Split]:
    """The split of each of `patients`, as a file gives it."""
    splits: dict[str, Split] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnimriError(f"{path}: cannot be read as CSV; check the path and the file") from error
    if not rows or not {"patient", "split"} <= set(rows[0]):
        raise UnimriError(f"{path}: needs a header with the columns patient and split, and a row a patient")
    for number, row in enumerate(rows, start=2):
        if row["split"] not in SPLITS:
            raise UnimriError(f"{path}: line {number}: split is {row['split']!r}; allowed: {', '.join(SPLITS)}")
        if splits.setdefault(row["patient"], row["split"]) != row["split"]:
            raise UnimriError(f"{path}: line {number}: the patient was put into another split above; keep one")
    missing = sorted(patients - set(splits))
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UnimriError(f"{path}: lacks {len(missing)} of the data set's patients ({shown}); add a row for each")
    return splits


def _quote(name: str) -> str:
    return quote(os.fsencode(name), safe="/ ^+,=@()[]")


def _unquote(name: str) -> str:
    return os.fsdecode(unquote_to_bytes(name))


def save_index(indices: Sequence[Index], folder: Path) -> None:
    """Write `shard-000.json` ... to a folder."""
    for number, index in enumerate(indices):
        index.save(folder / f"{shard_name(number)}.json")


def split_patients(patients: Iterable[str], fractions: Fractions, seed: int) -> dict[str, Split]:
    """Divide patients into train, validation and test.

    The order of a keyed hash of the name divides them, so the result depends on neither their order nor how
    often each is given.

    Parameters
    ----------
    patients : names; at least three different ones.
    fractions : of the patients, for each split. Sizes are within one patient of them, unless a split that
        would be empty takes one from the others.
    seed : another seed gives another division.

    Returns
    -------
    Split of each patient; no split is empty.

    Raises
    ------
    UnimriError
        When there are fewer than three patients.
    """
    key = str(seed).encode()
    patients = set(patients)
    check_patients(patients)
    shuffled = sorted(patients, key=lambda patient: blake2b(patient.encode(), key=key).digest())
    sizes = _sizes(len(shuffled), fractions)
    assigned = [split for split in SPLITS for _ in range(sizes[split])]
    return dict(zip(shuffled, assigned, strict=True))


def check_patients(patients: Iterable[str]) -> None:
    """Raise UnimriError when there are too few patients for each split to have one."""
    count = len(set(patients))
    if count < len(SPLITS):
        raise UnimriError(f"{count} patient(s), but at least three are needed: to train, validate and test on")


def _sizes(count: int, fractions: Fractions) -> dict[Split, int]:
    """Largest remainders, with one patient at least in each split."""
    ideal: dict[Split, float] = {split: count * getattr(fractions, split) for split in SPLITS}
    sizes: dict[Split, int] = {split: max(1, int(ideal[split])) for split in SPLITS}
    while sum(sizes.values()) < count:
        sizes[max(SPLITS, key=lambda split: ideal[split] - sizes[split])] += 1
    while sum(sizes.values()) > count:
        sizes[max(SPLITS, key=lambda split: (sizes[split] > 1, sizes[split] - ideal[split]))] -= 1
    return sizes
