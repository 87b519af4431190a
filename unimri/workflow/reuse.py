"""Reusing what another checkout has finished: links to its files, or copies, with Snakemake's records of them."""

import json
import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from unimri.core.artifacts import remove, remove_leftovers, replacing, write_text
from unimri.core.errors import UnimriError
from unimri.core.locks import lock_folders

# Carries the time of a folder that is an output. Snakemake writes to it when it touches the folder: never a link.
_TIMESTAMP = ".snakemake_timestamp"


class Reused(NamedTuple):
    """What was done below one folder of the results. A job counts where the first of its outputs lies.

    Attributes
    ----------
    folder : its name, or that of a file that lies in no folder.
    files : that were linked or copied.
    jobs : of the source that these are the outputs of.
    present : jobs whose outputs had been reused before.
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


class Records:
    """Snakemake's records of a working folder, as they lie on the disk: alike for Snakemake 9.14 to 9.27.

    `.snakemake/metadata` has a JSON file for each output, and `.snakemake/incomplete` one for each that is being made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".snakemake"

    def path(self, kind: Literal["metadata", "incomplete"], key: str) -> Path:
        """File of an output; where its name would be too long, folders have the beginning."""
        folder, name = self._folder / kind, urlsafe_b64encode(key.encode()).decode()
        length = os.pathconf(folder, "PC_NAME_MAX") - 1 if folder.is_dir() else 254
        *above, last = [name[start : start + length] for start in range(0, len(name), length)]
        return folder.joinpath(*(f"@{part}" for part in above), last)

    def read(self, key: str) -> dict[str, Any] | None:
        """The record of an output; None when there is none, or half of one."""
        try:
            record = json.loads(self.path("metadata", key).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def complete(self, key: str) -> dict[str, Any] | None:
        """The record of an output, if its job has finished."""
        record = self.read(key)
        return None if record is None or record.get("incomplete") or self.path("incomplete", key).exists() else record

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Write the record of an output, whole or not at all."""
        # Without this folder Snakemake takes the others for those of an old version.
        (self._folder / "incomplete").mkdir(parents=True, exist_ok=True)
        write_text(self.path("metadata", key), json.dumps(record))


def reuse(source: Path, here: Path, results: Path, private: Path, copy: bool = False) -> list[Reused]:
    """Link every finished output below the source's results that is not here, and take over Snakemake's record of it.

    The outputs of a job are reused together: where one of them was made here, the others are left alone too. Folders
    are real ones, so that what is written beside a reused file stays here, and times are those of the source, because
    Snakemake compares them. It may be interrupted and repeated.

    Parameters
    ----------
    source, here : working folders, in which Snakemake runs.
    results : the configured folder of results, relative to either.
    private : the configured folder that nothing is reused from.
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
    records = Records(here.resolve())
    locks = lock_folders(here / results)
    try:
        return _reuse(jobs, here, results, records, copy)
    except OSError as fault:
        raise UnimriError(f"{fault.filename or here}: {fault.strerror}; mend that and reuse again") from fault
    finally:
        for lock in locks:
            lock.release()


def total(parts: Iterable[Reused]) -> Reused:
    """The sums over all folders."""
    counts = zip(*(part[1:] for part in parts), strict=True)
    return Reused("all", *map(sum, counts))


def _check(source: Path, here: Path, results: Path) -> None:
    if results.is_absolute() or ".." in results.parts:
        raise UnimriError(
            f"config: results is {results}: only a folder below the working folder can be reused; give it as "
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
        for output in _outputs(Records(source), source, results, private):
            for path in (output.target, *output.target.rglob("*")):
                if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
                    raise PermissionError(13, "cannot be read", str(path))
            jobs.setdefault(output.job, []).append(output)
    except OSError as fault:
        raise UnimriError(
            f"{fault.filename}: {fault.strerror}; let its owner run `chmod -R a+rX {results} .snakemake` in {source}"
        ) from fault
    if not jobs:
        raise UnimriError(f"{source / results}: holds no finished output; run snakemake there first")
    return list(jobs.values())


def _outputs(records: Records, source: Path, results: Path, private: Path) -> Iterator[_Output]:
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


def _reuse(jobs: list[list[_Output]], here: Path, results: Path, records: Records, copy: bool) -> list[Reused]:
    made: dict[str, Reused] = {}
    wanted = []
    for job in jobs:
        folder = Path(job[0].key).relative_to(results).parts[0]
        counted = made.get(folder, Reused(folder, 0, 0, 0, 0))
        if any(_is_own(output, here, records) for output in job):
            made[folder] = counted._replace(kept=counted.kept + 1)
            continue
        missing = [output for output in job if not _is_reused(output, here, records, copy)]
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


def _is_own(output: _Output, here: Path, records: Records) -> bool:
    """Whether the output was made here, and not reused from the source or from one that is gone."""
    path = here / output.key
    if not path.exists() or records.read(output.key) == output.record:
        return False
    return not _links(path, output.target) and not _dangles(path)


def _is_reused(output: _Output, here: Path, records: Records, copy: bool) -> bool:
    """Whether the output is here as the source has it; when copying, as a copy."""
    path = here / output.key
    if not path.exists() or records.read(output.key) != output.record or _dangles(path):
        return False
    return not (copy and _links(path, output.target))


def _links(path: Path, target: Path) -> bool:
    """Whether a file, or one in a folder, is a link to where the target lies."""
    links = (entry for entry in (path, *path.rglob("*")) if entry.is_symlink())
    return any(link.readlink().is_relative_to(target) for link in links)


def _dangles(path: Path) -> bool:
    return any(not entry.exists() for entry in path.rglob("*"))


def _files(output: _Output) -> list[Path]:
    found = output.target.rglob("*") if output.target.is_dir() else [output.target]
    return [path for path in found if path.is_file() and path.name != _TIMESTAMP]


def _take(job: list[_Output], here: Path, records: Records, copy: bool, bar: "tqdm[Any]") -> None:
    # A record without its file is a job to run. A file without its record would pass for finished, whatever the
    # settings: so the record comes first, and what stands there from a former run goes before it.
    for output in job:
        path = here / output.key
        if records.read(output.key) != output.record:
            remove(path)
            records.write(output.key, output.record)
    for output in job:
        path = here / output.key
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        with replacing(path) as temporary:
            _take_entry(output.target, temporary, copy, bar)


def _take_entry(target: Path, path: Path, copy: bool, bar: "tqdm[Any]") -> None:
    if target.is_dir():
        path.mkdir()
        for entry in sorted(target.iterdir()):
            _take_entry(entry, path / entry.name, copy or entry.name == _TIMESTAMP, bar)
    elif copy:
        # Not its mode: the source may be write-protected, and Snakemake would refuse to make such a file again.
        with target.open("rb") as file, path.open("wb") as written:
            shutil.copyfileobj(CallbackIOWrapper(bar.update, file, "read"), written)
    else:
        path.symlink_to(target.resolve())
        bar.update()
    found = target.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
