"""Checkpoints, letters and rows in a local folder, with the same contract as in Azure.

For the terminal (`demo`, `collect --folder DIR`), not for Azure. The lease is an operating system
lock, which ends with its process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
from filelock import FileLock, Timeout

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.clock import Clock
from jira_audit.core.cloud_id import StoredTenant
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Folder, Letter, is_name
from jira_audit.core.records import TABLE_FILE
from jira_audit.core.text import is_host
from jira_audit.core.window import Window
from jira_audit.edge import files


class LocalCheckpoints:
    """The checkpoints of all sites, or of their backfills, in one folder."""

    def __init__(self, folder: Path, clock: Clock, kind: str = "checkpoints") -> None:
        self._folder, self._clock = folder / kind, clock

    def take(self, first: Checkpoint) -> LocalLease | None:
        """Lock a site's checkpoint; write `first` if there is none. None if it is locked."""
        path = self._folder / f"{first.site}.json"
        lock = FileLock(
            path.with_suffix(".lock"),
            mode=files.FILE_MODE,
            thread_local=False,
            is_singleton=False,
        )
        with _translate_errors(f"{first.site}: the checkpoint could not be locked"):
            files.make_folder(path.parent)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return None
        try:
            created = not path.exists()
            if created:
                _write(path, first.encode(self._clock.now()))
        except BaseException:
            lock.release()
            raise
        return LocalLease(first.site, path, lock, self._clock, created=created)

    def is_leased(self, site: str) -> bool:
        """Whether a process holds the lock: it cannot be asked for, so it is tried for a moment."""
        path = self._folder / f"{site}.lock"
        with _translate_errors(f"{site}: the checkpoint's lock could not be read"):
            if not path.exists():
                return False
            lock = FileLock(path, mode=files.FILE_MODE, thread_local=False, is_singleton=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            lock.release()
            return False

    def sites(self) -> Sequence[str]:
        """The sites that have a checkpoint, sorted. A file of another name is none of ours."""
        with _translate_errors("the checkpoints could not be listed"):
            stems = (path.stem for path in self._folder.glob("*.json"))
            return sorted(filter(is_host, stems))

    def tenants(self) -> Sequence[StoredTenant]:
        """What each site's checkpoint says of its tenant, sorted by site."""
        contents = ((site, self.stored(site)) for site in self.sites())
        return [StoredTenant.of(site, content) for site, content in contents if content is not None]

    def stored(self, site: str) -> bytes | None:
        """A site's checkpoint file, undecoded; None if there is none."""
        with _translate_errors(f"{site}: the checkpoint could not be read"):
            return _content(self._folder / f"{site}.json")


class LocalLease:
    """One checkpoint file, locked."""

    def __init__(
        self, site: str, path: Path, lock: FileLock, clock: Clock, *, created: bool
    ) -> None:
        self.created = created
        self._site, self._path, self._lock, self._clock = site, path, lock, clock

    def load(self) -> Checkpoint:
        """Read the checkpoint. Raises SiteError if it is unreadable."""
        with _translate_errors(f"{self._site}: the checkpoint could not be loaded"):
            content = self._path.read_bytes()
        return decode(content, self._site)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint."""
        _write(self._path, checkpoint.encode(self._clock.now()))

    def hold(self, seconds: float) -> None:
        """Do nothing: the lock lasts as long as the process."""

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def delete(self) -> None:
        """Delete the checkpoint, and release the lock."""
        with _translate_errors(f"{self._site}: the checkpoint could not be deleted"):
            self._path.unlink(missing_ok=True)
        self._lock.release()


class LocalLetters:
    """Dead letters and originals in one folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    def keep(self, letter: Letter) -> bool:
        """Store a letter; False if it was stored before."""
        return self.put(letter.name, letter.encode(self._clock.now()))

    def put(self, name: str, content: bytes) -> bool:
        """Store the bytes of a letter; False if others were stored before."""
        path = self._path(name)
        with _translate_errors(f"{name} could not be read"):
            stored = _content(path)
        if stored is None:
            _write(path, content)
        return stored in {None, content}

    def names(self, folder: Folder, site: str) -> Sequence[str]:
        """A site's letter names, sorted."""
        with _translate_errors(f"{site}: the {folder} could not be listed"):
            files = (self._folder / folder / site).glob("*/*.json")
            found = (file.relative_to(self._folder).as_posix() for file in files)
            return sorted(name for name in found if is_name(name))

    def read(self, name: str) -> bytes | None:
        """A letter's file, undecoded; None if there is none."""
        path = self._path(name)
        with _translate_errors(f"{name} could not be read"):
            return _content(path)

    def delete(self, name: str) -> None:
        """Delete a letter's file."""
        path = self._path(name)
        with _translate_errors(f"{name} could not be deleted"):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        """A letter's path, always inside the folder."""
        if not is_name(name):
            message = f"{name!r} is not the name of a dead letter"
            raise SiteError(message)
        return self._folder / name


class LocalSink:
    """The table as a JSON Lines file, one row a line.

    Sites, threads and processes append one after another.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TABLE_FILE
        lock = self._path.with_suffix(".lock")
        self._turn = FileLock(lock, mode=files.FILE_MODE, is_singleton=False)

    def prepare(self) -> None:
        """Do nothing."""

    def send(self, body: bytes) -> None:
        """Append all rows of a JSON array, or none; flush them to disk."""
        lines = b"".join(orjson.dumps(row) + b"\n" for row in orjson.loads(body))
        with _translate_errors("rows could not be written"):
            files.make_folder(self._path.parent)
        # Unbuffered: `truncate` would write what a buffer still held.
        with (
            _translate_errors("rows could not be written"),
            self._turn,
            files.open_to_append(self._path) as table,
        ):
            end = _end_of_last_line(table)
            try:
                table.truncate(end)  # the rest of a line after a crash: never accepted
                while lines:
                    lines = lines[table.write(lines) :]
                os.fsync(table.fileno())
            except OSError:
                table.truncate(end)
                raise


class LocalTable:
    """Reads the same file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TABLE_FILE

    def held(self, site: str, window: Window, former: Sequence[str] = ()) -> TableInventory:
        """How many rows each record of a site has, of those created in a range.

        Rows of its `former` hosts count.
        """
        hosts = {site, *former}
        seen = Counter(
            row["id_d"]
            for row in self.rows()
            if row["site_s"] in hosts
            and window.start <= timestamps.parse(row["created_t"]) <= window.end
        )
        copies = {number: times for number, times in seen.items() if times > 1}
        return TableInventory(Ledger().with_ids(seen), copies)

    def oldest(self) -> int | None:
        """When the oldest row was written."""
        return min((timestamps.parse(row["TimeGenerated"]) for row in self.rows()), default=None)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row; none without a file. Ignores an incomplete last line.

        Raises SiteError for a line that is not a row.
        """
        with _translate_errors("rows could not be read"):
            try:
                table = self._path.open("rb")
            except FileNotFoundError:
                return
            with table:
                for number, line in enumerate(table, 1):
                    if line.endswith(b"\n"):
                        yield _row(line, number)


def _row(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
        if isinstance(row["id_d"], int) and isinstance(row["site_s"], str):
            timestamps.parse(row["created_t"])
            return dict(row)
    except (ValueError, TypeError, KeyError):
        pass
    message = f"line {number} of {TABLE_FILE} is not a row: move it out of the file"
    raise SiteError(message)


def _end_of_last_line(table: IO[bytes]) -> int:
    """Where the last complete line ends, in bytes."""
    end = table.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        table.seek(start)
        newline = table.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    """Replace a file atomically."""
    with _translate_errors(f"{path.name} could not be written"):
        files.make_folder(path.parent)
        files.replace(path, content)


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    try:
        yield
    except files.PathRefused as error:
        message = f"{what}: {error}"
        raise SiteError(message) from error
    except OSError as error:
        message = f"{what}: {error.strerror or type(error).__name__}"
        raise TransientError(message) from error
