"""Checkpoints, dead letters and originals in Azure Blob Storage.

The storage library retries, within seconds. A run that holds the lease of a site's blob is the
site's only writer. https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobLeaseClient, ContainerClient, ExponentialRetry

from jira_audit.core import encoding, timestamps
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.clock import Clock
from jira_audit.core.errors import LeaseLost, SiteError, TransientError
from jira_audit.core.letters import Folder, Letter, is_name
from jira_audit.core.queueing import LeaseState
from jira_audit.core.timestamps import SECOND

SAVE_SECONDS = 10.0
"""What must be left of the lease when a save begins; the service refuses one that is late."""


@dataclass(frozen=True)
class Retries:
    """How often the storage library retries, and how long it waits.

    At most `count` retries. Before the n-th it waits `first` + `base` ** n seconds,
    plus or minus a random part of `jitter` seconds, and never less than 0.
    """

    count: int
    first: int
    base: int
    jitter: int


RETRIES = Retries(count=2, first=1, base=2, jitter=3)
"""Three tries within seconds. The library's own default waits 15 s before the second."""


def client_options(retries: Retries = RETRIES) -> dict[str, Any]:
    """The options of a container client: its retries and its timeouts."""
    return {
        "retry_policy": ExponentialRetry(
            initial_backoff=retries.first,
            increment_base=retries.base,
            random_jitter_range=retries.jitter,
            retry_total=retries.count,
        ),
        "connection_timeout": 3,
        "read_timeout": 5,
    }


class BlobCheckpoints:
    """The checkpoints of all sites, or those of their backfills, in one container.

    A missing container is created.
    """

    def __init__(
        self,
        container: ContainerClient,
        lease_seconds: int,
        clock: Clock,
        kind: str = "checkpoints",
    ) -> None:
        self._container, self._lease_seconds, self._clock = container, lease_seconds, clock
        self._kind = kind

    def take(self, first: Checkpoint) -> BlobLease | None:
        """Take the lease on a site's checkpoint, writing `first` if there is none.

        Returns None if another run holds it. Raises TransientError, or SiteError for an
        administrator.
        """
        blob = self._container.get_blob_client(self._name(first.site))
        created = False
        with _translate_errors(f"{first.site}: the checkpoint could not be leased"):
            for _ in range(2):
                asked = self._clock.monotonic()
                try:
                    lease = blob.acquire_lease(self._lease_seconds)
                except ResourceNotFoundError:
                    created = self._create(blob, first)
                except ResourceExistsError as error:
                    if _error_code(error) == "LeaseAlreadyPresent":
                        return None
                    raise
                else:
                    return BlobLease(
                        first.site, blob, lease, self._clock, asked, self._lease_seconds, created
                    )
        message = f"{first.site}: the checkpoint was deleted while it was being leased"
        raise TransientError(message)

    def stored(self, site: str) -> bytes | None:
        """Read a site's checkpoint blob as it is; None if there is none."""
        with _translate_errors(f"{site}: the checkpoint could not be read"):
            return _content(self._container, self._name(site))

    def leases(self) -> dict[str, LeaseState]:
        """When each site's checkpoint was saved, and whether it is leased; one list request."""
        prefix = f"{self._kind}/"
        with _translate_errors("the checkpoints could not be listed"):
            try:
                return {
                    blob.name.removeprefix(prefix).removesuffix(".json"): LeaseState(
                        int(blob.last_modified.timestamp()) * SECOND, blob.lease.state == "leased"
                    )
                    for blob in self._container.list_blobs(name_starts_with=prefix)
                }
            except ResourceNotFoundError:
                return {}

    def _name(self, site: str) -> str:
        return f"{self._kind}/{site}.json"

    def _create(self, blob: BlobClient, first: Checkpoint) -> bool:
        """Write the first checkpoint; false if another run wrote it before."""
        content = first.encode(self._clock.now())
        try:
            try:
                blob.upload_blob(content, overwrite=False)
            except ResourceNotFoundError:
                make_container(self._container)
                blob.upload_blob(content, overwrite=False)
        except ResourceExistsError as error:
            if _error_code(error) != "BlobAlreadyExists":
                raise
            return False
        return True


class BlobLease:
    """The lease of one site's checkpoint blob. Its time counts from when it was requested."""

    def __init__(
        self,
        site: str,
        blob: BlobClient,
        lease: BlobLeaseClient,
        clock: Clock,
        asked: float,
        lease_seconds: int,
        created: bool,  # noqa: FBT001  part of the port
    ) -> None:
        self.created = created
        self._site, self._blob, self._lease, self._clock = site, blob, lease, clock
        self._asked, self._lease_seconds = asked, lease_seconds
        self._lock, self._lost = Lock(), ""

    def load(self) -> Checkpoint:
        """Read the checkpoint. Raises SiteError if it cannot be read as one."""
        with _translate_errors(f"{self._site}: the checkpoint could not be loaded"):
            content = self._blob.download_blob().readall()
        return decode(content, self._site)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint under the lease. Raises TransientError if the lease was lost."""
        self.hold(min(SAVE_SECONDS, self._lease_seconds / 2))
        with _translate_errors(f"{self._site}: the checkpoint could not be saved"):
            self._blob.upload_blob(
                checkpoint.encode(self._clock.now()), overwrite=True, lease=self._lease
            )

    def hold(self, seconds: float) -> None:
        """Ensure that the lease lasts `seconds` more; renew it if necessary. Thread-safe.

        Raises LeaseLost if it cannot be renewed, after the storage library's retries.
        """
        with self._lock:
            if self._left() >= seconds:
                return
            if self._lost:  # every send that waits would ask in vain again, each for seconds
                raise LeaseLost(self._lost)
            asked = self._clock.monotonic()
            try:
                with _translate_errors(f"{self._site}: the lease could not be renewed"):
                    self._lease.renew()
            except TransientError as error:
                self._lost = str(error)
                raise LeaseLost(self._lost) from error
            self._asked = asked
            if self._left() < seconds:
                message = f"{self._site}: storage is too slow to hold the lease"
                raise LeaseLost(message)

    def release(self) -> None:
        """Release the lease."""
        with _translate_errors(f"{self._site}: the lease could not be released"):
            self._lease.release()

    def _left(self) -> float:
        return self._asked + self._lease_seconds - self._clock.monotonic()


class BlobEnqueueTimes:
    """When each site was put on the queue. Only the timer writes it, one run at a time."""

    NAME = "queue/queued.json"

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def load(self) -> dict[str, int]:
        """Read the time by site; empty if nothing readable is stored.

        A forgotten site is put on the queue again; a run that finds its lease taken skips it.
        """
        with _translate_errors("what is on the queue could not be read"):
            content = _content(self._container, self.NAME)
        try:
            stored = encoding.loads(content or b"{}")
            return {str(site): timestamps.parse(at) for site, at in stored.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def save(self, queued: Mapping[str, int]) -> None:
        """Write the time by site."""
        content = encoding.dumps({site: timestamps.text(at) for site, at in queued.items()})
        with _translate_errors("what is on the queue could not be saved"):
            try:
                self._container.upload_blob(self.NAME, content, overwrite=True)
            except ResourceNotFoundError:
                make_container(self._container)
                self._container.upload_blob(self.NAME, content, overwrite=True)


class BlobLetters:
    """Dead letters and originals, beside the checkpoints."""

    def __init__(self, container: ContainerClient, clock: Clock) -> None:
        self._container, self._clock = container, clock

    def keep(self, letter: Letter) -> bool:
        """Store a letter; false if it was stored before."""
        with _translate_errors(f"{letter.site}: a record could not be kept aside"):
            try:
                self._container.upload_blob(
                    letter.name, letter.encode(self._clock.now()), overwrite=False
                )
            except ResourceExistsError as error:
                if _error_code(error) != "BlobAlreadyExists":
                    raise
                return False
        return True

    def names(self, folder: Folder, site: str) -> Sequence[str]:
        """The names of a site's letters, sorted; empty if there is no container."""
        with _translate_errors(f"{site}: the {folder} could not be listed"):
            try:
                found = self._container.list_blob_names(name_starts_with=f"{folder}/{site}/")
                return sorted(name for name in found if is_name(name))
            except ResourceNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """Read a letter's blob as it is; None if there is none."""
        _check(name)
        with _translate_errors(f"{name} could not be read"):
            return _content(self._container, name)

    def delete(self, name: str) -> None:
        """Delete a letter's blob and its snapshots."""
        _check(name)
        with _translate_errors(f"{name} could not be deleted"):
            try:
                self._container.delete_blob(name, delete_snapshots="include")
            except ResourceNotFoundError:
                return


def _check(name: str) -> None:
    if not is_name(name):
        message = f"{name!r} is not the name of a dead letter"
        raise SiteError(message)


def _content(container: ContainerClient, name: str) -> bytes | None:
    try:
        return container.download_blob(name).readall()
    except ResourceNotFoundError:
        return None


def make_container(container: ContainerClient) -> None:
    """Create the container if it is missing."""
    try:
        container.create_container()
    except ResourceExistsError as error:
        if _error_code(error) != "ContainerAlreadyExists":
            raise


def probe(container: ContainerClient) -> None:
    """Check that checkpoints can be written; create the container if it is missing.

    Requests a lease of a blob that does not exist, which needs the right to write but writes
    nothing.
    Raises TransientError, or SiteError for an administrator.
    """
    with _translate_errors("the container cannot be used"):
        try:
            container.get_blob_client("checkpoints/probe").acquire_lease(15)
        except ResourceNotFoundError as error:
            if _error_code(error) == "ContainerNotFound":
                make_container(container)


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    """Turn the library's exceptions into the connector's, grouped by who must act."""
    try:
        yield
    except ClientAuthenticationError as error:
        message = (
            f"{what}: storage refuses the identity or key; an identity needs the role Storage "
            f"Blob Data Owner on the account of AzureWebJobsStorage ({_error_code(error)})"
        )
        raise SiteError(message) from error
    except HttpResponseError as error:
        if error.status_code == 403:
            message = (
                f"{what}: storage refuses; look at its firewall and roles ({_error_code(error)})"
            )
            raise SiteError(message) from error
        if _error_code(error).startswith("Lease"):
            message = f"{what}: another run has taken the site over ({_error_code(error)})"
            raise TransientError(message) from error
        message = f"{what}: storage answered HTTP {error.status_code} ({_error_code(error)})"
        raise TransientError(message) from error
    except AzureError as error:
        message = f"{what}: storage could not be reached ({type(error).__name__})"
        raise TransientError(message) from error


def _error_code(error: HttpResponseError) -> str:
    """Storage's own error code, such as `LeaseAlreadyPresent`."""
    code = getattr(error, "error_code", None)  # a text, or an enumeration of the library's
    return str(getattr(code, "value", code) or type(error).__name__)
