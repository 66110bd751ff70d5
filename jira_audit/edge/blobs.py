"""Checkpoints, dead letters and originals in Azure Blob Storage.

The storage library retries, within seconds. The run that holds a site's lease is its only writer.
https://learn.microsoft.com/rest/api/storageservices/lease-blob
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
from jira_audit.core.checkpoint import Checkpoint, decode, saved_at
from jira_audit.core.clock import Clock
from jira_audit.core.cloud_id import StoredTenant
from jira_audit.core.errors import LeaseLost, SiteError, TransientError
from jira_audit.core.letters import Folder, Letter, is_name
from jira_audit.core.queueing import LeaseState, Unanswered
from jira_audit.core.timestamps import SECOND
from jira_audit.edge.transport import MALFORMED, azure_transport, os_error, quoted_code, unreachable

CONNECT_SECONDS, READ_SECONDS = 3, 5

_CLOUD_ID, _CLAIM = "cloud_id", "claim"
"""Keys of a checkpoint blob's metadata:
https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources"""

SAVE_SECONDS = 10.0
"""Seconds the lease must still last when a save begins; the service refuses a late save."""


IMMUTABLE = "BlobImmutable"
"""How the codes of a refusal begin that lasts as long as the policy or legal hold behind it:
https://learn.microsoft.com/azure/storage/blobs/immutable-storage-overview"""


@dataclass(frozen=True)
class Retries:
    """The storage library's retries.

    At most `count`. The n-th waits `first` + `base` ** n ± up to `jitter` seconds, at least 0.
    """

    count: int
    first: int
    base: int
    jitter: int


RETRIES = Retries(count=2, first=1, base=2, jitter=3)
"""Three tries within seconds. The library's default waits 15 s before the second."""


def client_options(retries: Retries = RETRIES) -> dict[str, Any]:
    """A container client's retries, timeouts and transport, which is for this client alone."""
    return {
        "transport": azure_transport(CONNECT_SECONDS, READ_SECONDS),
        "permit_redirects": False,  # a record goes to this host alone, as the token does
        "retry_policy": ExponentialRetry(
            initial_backoff=retries.first,
            increment_base=retries.base,
            random_jitter_range=retries.jitter,
            retry_total=retries.count,
        ),
    }


class BlobCheckpoints:
    """The checkpoints of all sites, or of their backfills.

    A missing container is created, unless it was deleted: see `make_container`.
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
        """Take the lease on a site's checkpoint; write `first` if there is none.

        Returns None if another run holds it. Raises TransientError or SiteError.
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
        """A site's checkpoint blob, undecoded; None if there is none."""
        with _translate_errors(f"{site}: the checkpoint could not be read"):
            return _content(self._container, self._name(site))

    def is_leased(self, site: str) -> bool:
        """Whether a run has the lease on a site's checkpoint blob now."""
        with _translate_errors(f"{site}: the checkpoint's lease could not be read"):
            try:
                blob = self._container.get_blob_client(self._name(site)).get_blob_properties()
            except ResourceNotFoundError:
                return False
        return bool(blob.lease.state == "leased")

    def tenants(self) -> Sequence[StoredTenant]:
        """What each site's checkpoint says of its tenant, sorted by site; one list request.

        It is in the blobs' metadata, so that many sites' blobs need not be read. A blob without
        metadata, which version 0.1 has saved, is read.
        """
        prefix, ending = f"{self._kind}/", ".json"
        with _translate_errors("the checkpoints could not be listed"):
            try:
                blobs = list(self._container.list_blobs(prefix, include=["metadata"]))
            except ResourceNotFoundError:
                return []
        tenants = []
        for blob in sorted(blobs, key=lambda blob: blob.name):
            if blob.name.endswith(ending):
                site = blob.name.removeprefix(prefix).removesuffix(ending)
                said = blob.metadata or {}
                if _CLOUD_ID in said:
                    tenant = StoredTenant(site, said[_CLOUD_ID] or None, said.get(_CLAIM) or None)
                else:
                    tenant = StoredTenant.of(site, self.stored(site) or b"")
                tenants.append(tenant)
        return tenants

    def leases(self) -> dict[str, LeaseState]:
        """When each checkpoint was saved, and whether it is leased.

        Sends one list request, and one for each that is leased: what it says of its save is what a
        run that finds the lease taken goes by. A few are leased at a time.
        """
        prefix = f"{self._kind}/"
        found: dict[str, LeaseState] = {}
        with _translate_errors("the checkpoints could not be listed"):
            try:
                for blob in self._container.list_blobs(name_starts_with=prefix):
                    saved = int(blob.last_modified.timestamp()) * SECOND
                    leased = blob.lease.state == "leased"
                    if leased:
                        own = saved_at(_content(self._container, blob.name))
                        saved = saved if own is None else own
                    name = blob.name.removeprefix(prefix).removesuffix(".json")
                    found[name] = LeaseState(saved, leased)
            except ResourceNotFoundError:
                return {}
        return found

    def _name(self, site: str) -> str:
        return f"{self._kind}/{site}.json"

    def _create(self, blob: BlobClient, first: Checkpoint) -> bool:
        """Write the first checkpoint; False if another run was earlier."""
        content, metadata = first.encode(self._clock.now()), _metadata(first)
        try:
            try:
                blob.upload_blob(content, overwrite=False, metadata=metadata)
            except ResourceNotFoundError:
                make_container(self._container)
                blob.upload_blob(content, overwrite=False, metadata=metadata)
        except ResourceExistsError as error:
            if _error_code(error) != "BlobAlreadyExists":
                raise
            return False
        return True


class BlobLease:
    """The lease on one checkpoint blob. Its time counts from its request."""

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
        """Read the checkpoint. Raises SiteError if it is unreadable."""
        with _translate_errors(f"{self._site}: the checkpoint could not be loaded"):
            content = self._blob.download_blob().readall()
        return decode(content, self._site)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint. Raises TransientError if the lease was lost."""
        self.hold(min(SAVE_SECONDS, self._lease_seconds / 2))
        content = checkpoint.encode(self._clock.now())
        with _translate_errors(f"{self._site}: the checkpoint could not be saved"):
            self._blob.upload_blob(
                content, overwrite=True, lease=self._lease, metadata=_metadata(checkpoint)
            )

    def hold(self, seconds: float) -> None:
        """Renew the lease unless it lasts `seconds` more. Thread-safe.

        Raises LeaseLost if it cannot be renewed, after the library's retries.
        """
        with self._lock:
            if self._left() >= seconds:
                return
            if self._lost:  # otherwise each waiting send would try again in vain, for seconds
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

    def delete(self) -> None:
        """Delete the checkpoint's blob, and with it the lease."""
        self.hold(min(SAVE_SECONDS, self._lease_seconds / 2))
        with _translate_errors(f"{self._site}: the checkpoint could not be deleted"):
            self._blob.delete_blob(delete_snapshots="include", lease=self._lease)

    def _left(self) -> float:
        return self._asked + self._lease_seconds - self._clock.monotonic()


class BlobEnqueueTimes:
    """The messages that no save has answered, by site. Only the timer writes them, one run at a
    time.
    """

    NAME = "queue/queued.json"

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def load(self) -> dict[str, Unanswered]:
        """The messages by site; empty if nothing readable is stored.

        A site that is forgotten is queued again; its second run finds the lease taken and skips. A
        version before this one stored the last message alone.
        """
        with _translate_errors("what is on the queue could not be read"):
            content = _content(self._container, self.NAME)
        try:
            stored = encoding.loads(content or b"{}")
            return {str(site): _unanswered(at) for site, at in stored.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {}

    def save(self, queued: Mapping[str, Unanswered]) -> None:
        """Write the messages by site."""
        content = encoding.dumps(
            {
                site: {"first": timestamps.text(at.first), "last": timestamps.text(at.last)}
                for site, at in queued.items()
            }
        )
        with _translate_errors("what is on the queue could not be saved"):
            try:
                self._container.upload_blob(self.NAME, content, overwrite=True)
            except ResourceNotFoundError:
                make_container(self._container)
                self._container.upload_blob(self.NAME, content, overwrite=True)


def _unanswered(stored: Any) -> Unanswered:
    first, last = (
        (stored["first"], stored["last"]) if isinstance(stored, dict) else (stored, stored)
    )
    return Unanswered(timestamps.parse(first), timestamps.parse(last))


class BlobLetters:
    """Dead letters and originals, in the checkpoints' container."""

    def __init__(self, container: ContainerClient, clock: Clock) -> None:
        self._container, self._clock = container, clock

    def keep(self, letter: Letter) -> bool:
        """Store a letter; False if it was stored before."""
        return self.put(letter.name, letter.encode(self._clock.now()))

    def put(self, name: str, content: bytes) -> bool:
        """Store the bytes of a letter; False if others were stored before.

        The storage library repeats a request whose answer was lost, and then finds the blob there.
        https://github.com/Azure/azure-sdk-for-python/issues/19486
        """
        _check(name)
        with _translate_errors(f"{name}: a record could not be kept aside"):
            try:
                self._container.upload_blob(name, content, overwrite=False)
            except ResourceExistsError as error:
                if _error_code(error) != "BlobAlreadyExists":
                    raise
                return _content(self._container, name) == content
        return True

    def names(self, folder: Folder, site: str) -> Sequence[str]:
        """A site's letter names, sorted; empty without a container."""
        with _translate_errors(f"{site}: the {folder} could not be listed"):
            try:
                found = self._container.list_blob_names(name_starts_with=f"{folder}/{site}/")
                return sorted(name for name in found if is_name(name))
            except ResourceNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """A letter's blob, undecoded; None if there is none."""
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


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {_CLOUD_ID: checkpoint.cloud_id or "", _CLAIM: checkpoint.claim or ""}


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
    """Create the container if it is missing.

    Raises SiteError if one of this name was deleted and can still be restored: that is possible
    only until the name is used again, and what is missing would look like a first run. An
    administrator restores it, or creates it empty.
    https://learn.microsoft.com/azure/storage/blobs/soft-delete-container-overview
    """
    if _can_be_restored(container):
        message = (
            f"the container {container.container_name} was deleted, with the checkpoints and dead "
            "letters in it: stop the app, and restore it within its retention; or create it empty "
            "to begin anew (then reading begins INITIAL_LOOKBACK_HOURS ago, or where "
            "CHECKPOINT_RESET says)"
        )
        raise SiteError(message)
    try:
        container.create_container()
    except ResourceExistsError as error:
        if _error_code(error) != "ContainerAlreadyExists":
            raise


def _can_be_restored(container: ContainerClient) -> bool:
    """Whether the account keeps a deleted container of this name. Without the right to list
    containers, that cannot be known.
    """
    name = container.container_name
    account = container._get_blob_service_client()  # noqa: SLF001  the library's own sample does so
    try:
        listed = account.list_containers(name_starts_with=name, include_deleted=True)
        return any(each.name == name and each.deleted for each in listed)
    except HttpResponseError as error:
        if error.status_code == 403:
            return False
        raise


def probe(container: ContainerClient) -> None:
    """Check that checkpoints can be overwritten; create the container as `make_container` does.

    Writes a blob of its own twice and deletes it: an immutability policy refuses only the second.
    Raises TransientError, or SiteError for an administrator.
    """
    with _translate_errors("the container cannot be used"):
        blob = container.get_blob_client("probes/checkpoint")
        try:
            blob.upload_blob(b"{}", overwrite=True)
        except ResourceNotFoundError:
            make_container(container)
            blob.upload_blob(b"{}", overwrite=True)
        blob.upload_blob(b"{}", overwrite=True)
        blob.delete_blob(delete_snapshots="include")


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    """Translate the library's exceptions to the connector's."""
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
                f"{what}: storage refuses; check its firewall and roles ({_error_code(error)})"
            )
            raise SiteError(message) from error
        if _error_code(error).startswith(IMMUTABLE):
            message = (
                f"{what}: an immutability policy or a legal hold does not let a blob be "
                f"overwritten ({_error_code(error)}): remove it, or set CHECKPOINT_CONTAINER to a "
                "container without one"
            )
            raise SiteError(message) from error
        if _error_code(error).startswith("Lease"):
            message = f"{what}: another run took over the site ({_error_code(error)})"
            raise TransientError(message) from error
        message = f"{what}: storage answered HTTP {error.status_code} ({_error_code(error)})"
        raise TransientError(message) from error
    except AzureError as error:
        raise TransientError(unreachable(f"{what}: storage", error)) from error
    except OSError as error:
        raise os_error(f"{what}: storage", error) from error
    except MALFORMED as error:
        message = f"{what}: storage's response is unreadable ({type(error).__name__})"
        raise TransientError(message) from error


def _error_code(error: HttpResponseError) -> str:
    """Storage's error code, such as `LeaseAlreadyPresent`."""
    code = getattr(error, "error_code", None)  # a string, or one of the library's enums
    text = getattr(code, "value", code) or type(error).__name__
    return quoted_code(text, getattr(error.response, "request", None))
