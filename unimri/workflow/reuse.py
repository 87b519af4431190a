"""Taking over what another checkout has finished: links to its files, or copies, with Snakemake's records of them."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snakemake.persistence import MetadataRecord  # type: ignore[import-untyped]
from snakemake.persistence.file import FilePersistence  # type: ignore[import-untyped]
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from unimri.core.artifacts import remove, remove_leftovers, replacing
from unimri.core.errors import UnimriError
from unimri.core.locks import lock_folders

# Carries the time of a folder that is an output. Snakemake writes to it when it touches the folder: never a link.
_TIMESTAMP = ".snakemake_timestamp"


class Borrowed(NamedTuple):
    """What was done below one folder of the results. A job counts where the first of its outputs lies.

    Attributes
    ----------
    folder : its name, or that of a file that lies in no folder.
    files : that were linked or copied.
    jobs : of the source that these are the outputs of.
    present : jobs whose outputs had been borrowed before.
    kept : jobs whose outputs were made here; nothing of theirs was touched.
    """

    folder: str
    files: int
    jobs: int
    present: int
    kept: int


@dataclass(frozen=True)
class _Output:
    """A file or folder that the source has finished.

    Attributes
    ----------
    key : its path in Snakemake's records, relative to either working folder.
    target : where it really lies.
    record : Snakemake's, as plain values. It has the time of the job's start, and so tells two runs of a job apart.
    """

    key: str
    target: Path
    record: dict[str, Any]

    @property
    def job(self) -> tuple[str, ...]:
        """The same for the outputs of one job: no two jobs share a log."""
        return (str(self.record["rule"]), *(self.record["log"] or [self.key]))


class _Source(FilePersistence):  # type: ignore[misc]
    """Snakemake's records of a folder in which nothing may be written, not even the folders that Snakemake makes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".snakemake"
        self._metadata_path = str(self._path / "metadata")
        self._incomplete_path = str(self._path / "incomplete")
        self._max_len = None
        self._incomplete_cache = None

    def complete(self, key: str) -> dict[str, Any] | None:
        """The record of an output, if its job has finished."""
        record = _record(self, key)
        return None if record is None or record["incomplete"] or self._filter_incomplete_keys([key]) else record


def borrow(source: Path, here: Path, results: Path, private: Path, copy: bool = False) -> list[Borrowed]:
    """Link every finished output below the source's results that is not here, and take over Snakemake's record of it.

    The outputs of a job are borrowed together: where one of them was made here, the others are left alone too. Folders
    are real ones, so that what is written beside a borrowed file stays here, and times are those of the source, because
    Snakemake compares them. It may be interrupted and repeated.

    Parameters
    ----------
    source, here : working folders, in which Snakemake runs.
    results : the configured folder of results, relative to either.
    private : the configured folder that nothing is borrowed from.
    copy : copy instead; also what was linked before.

    Returns
    -------
    What was done, by the folder below the results.

    Raises
    ------
    UnimriError : when the source is not a checkout with finished outputs that can be read, `results` is not below the
        working folder, or Snakemake is running here.
    """
    _check(source, here, results)
    jobs = _jobs(source.resolve(), results, private)
    records = FilePersistence(path=here.resolve() / ".snakemake")
    locks = lock_folders(here / results)
    try:
        return _borrow(jobs, here, results, records, copy)
    except OSError as fault:
        raise UnimriError(f"{fault.filename or here}: {fault.strerror}; mend that and borrow again") from fault
    finally:
        for lock in locks:
            lock.release()


def total(parts: Iterable[Borrowed]) -> Borrowed:
    """The sums over all folders."""
    counts = zip(*(part[1:] for part in parts), strict=True)
    return Borrowed("all", *map(sum, counts))


def _check(source: Path, here: Path, results: Path) -> None:
    if results.is_absolute() or ".." in results.parts:
        raise UnimriError(
            f"config: results is {results}: only a folder below the working folder can be borrowed; give it as "
            "`results: results`, the same in both checkouts"
        )
    if not source.is_dir():
        raise UnimriError(f"{source}: no such folder; give the folder in which the other checkout ran snakemake")
    if not (source / ".snakemake/metadata").is_dir():
        raise UnimriError(
            f"{source}: Snakemake has kept no records there (.snakemake/metadata); "
            "give the folder in which the other checkout ran snakemake"
        )
    if not (source / results).is_dir():
        raise UnimriError(f"{source / results}: no such folder; `results` must be the same in both checkouts")
    if (here / results).resolve().is_relative_to((source / results).resolve()):
        raise UnimriError(f"{source}: these are the results of this very folder; run it in a checkout of your own")


def _jobs(source: Path, results: Path, private: Path) -> list[list[_Output]]:
    """The finished outputs of the source, by job."""
    jobs: dict[tuple[str, ...], list[_Output]] = {}
    try:
        for output in _outputs(_Source(source), source, results, private):
            unreadable = next((path for path in (output.target, *_below(output.target)) if not _readable(path)), None)
            if unreadable is not None:
                raise PermissionError(13, "cannot be read", str(unreadable))
            jobs.setdefault(output.job, []).append(output)
    except OSError as fault:
        raise UnimriError(
            f"{fault.filename}: {fault.strerror}; let its owner run `chmod -R a+rX {results} .snakemake` in {source}"
        ) from fault
    if not jobs:
        raise UnimriError(f"{source / results}: holds no finished output; run snakemake there first")
    return list(jobs.values())


def _outputs(records: _Source, source: Path, results: Path, private: Path) -> Iterator[_Output]:
    root = source / results
    # A part of the results may lie on another disk, behind a link.
    for folder, folders, files in os.walk(root, onerror=_raise, followlinks=True):
        below = results / Path(folder).relative_to(root)
        inner = []
        for name in sorted([*folders, *files]):
            key = below / name
            if key.is_relative_to(private):
                continue
            record = records.complete(key.as_posix())
            if record is None:
                inner += [name] if name in folders else []
            elif (source / key).exists():
                yield _Output(key.as_posix(), (source / key).resolve(), record)
        folders[:] = inner


def _raise(fault: OSError) -> None:
    raise fault


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)


def _below(path: Path) -> Iterable[Path]:
    """All that is in a folder; nothing for a file."""
    return path.rglob("*")


def _record(records: FilePersistence, key: str) -> dict[str, Any] | None:
    record: MetadataRecord | None = records._read_record(key)
    return None if record is None else dict(record.items())


def _borrow(
    jobs: list[list[_Output]], here: Path, results: Path, records: FilePersistence, copy: bool
) -> list[Borrowed]:
    made: dict[str, Borrowed] = {}
    wanted = []
    for job in jobs:
        folder = Path(job[0].key).relative_to(results).parts[0]
        counted = made.get(folder, Borrowed(folder, 0, 0, 0, 0))
        if any(_is_own(output, here, records) for output in job):
            made[folder] = counted._replace(kept=counted.kept + 1)
            continue
        missing = [output for output in job if not _is_borrowed(output, here, records, copy)]
        if not missing:
            made[folder] = counted._replace(present=counted.present + 1)
            continue
        wanted.append(missing)
        files = sum(len(_files(output)) for output in missing)
        made[folder] = counted._replace(files=counted.files + files, jobs=counted.jobs + 1)
    outputs = [output for job in wanted for output in job]
    size = sum(path.stat().st_size if copy else 1 for output in outputs for path in _files(output))
    unit = "B" if copy else "file"
    with tqdm(total=size, unit=unit, unit_scale=copy, unit_divisor=1024, disable=None) as bar:
        for missing in wanted:
            _take(missing, here, records, copy, bar)
    return sorted(made.values())


def _is_own(output: _Output, here: Path, records: FilePersistence) -> bool:
    """Whether the output was made here, and not borrowed from the source or from one that is gone."""
    path = here / output.key
    if not path.exists() or _record(records, output.key) == output.record:
        return False
    return not _links(path, output.target) and not _dangles(path)


def _is_borrowed(output: _Output, here: Path, records: FilePersistence, copy: bool) -> bool:
    """Whether the output is here as the source has it; when copying, as a copy."""
    path = here / output.key
    if not path.exists() or _record(records, output.key) != output.record or _dangles(path):
        return False
    return not (copy and _links(path, output.target))


def _links(path: Path, target: Path) -> bool:
    """Whether a file, or one in a folder, is a link to where the target lies."""
    links = (entry for entry in (path, *_below(path)) if entry.is_symlink())
    return any(link.readlink().is_relative_to(target) for link in links)


def _dangles(path: Path) -> bool:
    return any(not entry.exists() for entry in _below(path))


def _files(output: _Output) -> list[Path]:
    found = _below(output.target) if output.target.is_dir() else [output.target]
    return [path for path in found if path.is_file() and path.name != _TIMESTAMP]


def _take(job: list[_Output], here: Path, records: FilePersistence, copy: bool, bar: "tqdm[Any]") -> None:
    # A record without its file is a job to run. A file without its record would pass for finished, whatever the
    # settings: so the record comes first, and what stands there from a former run goes before it.
    for output in job:
        path = here / output.key
        if _record(records, output.key) != output.record:
            remove(path)
            records._write_record(output.key, MetadataRecord.model_validate(output.record))
    for output in job:
        path = here / output.key
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        with replacing(path) as temporary:
            if output.target.is_dir():
                _take_folder(output.target, temporary, copy, bar)
            else:
                _take_file(output.target, temporary, copy, bar)


def _take_folder(target: Path, folder: Path, copy: bool, bar: "tqdm[Any]") -> None:
    folder.mkdir()
    for entry in sorted(target.iterdir()):
        path = folder / entry.name
        if entry.is_dir():
            _take_folder(entry, path, copy, bar)
        else:
            _take_file(entry.resolve(), path, copy or entry.name == _TIMESTAMP, bar)
    _keep_time(target, folder)


def _take_file(target: Path, path: Path, copy: bool, bar: "tqdm[Any]") -> None:
    if copy:
        # Not its mode: the source may be write-protected, and Snakemake would refuse to make such a file again.
        with target.open("rb") as file, path.open("wb") as written:
            shutil.copyfileobj(CallbackIOWrapper(bar.update, file, "read"), written)
    else:
        path.symlink_to(target)
        bar.update()
    _keep_time(target, path)


def _keep_time(target: Path, path: Path) -> None:
    found = target.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
