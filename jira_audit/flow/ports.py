"""The ports: protocols that the flow uses and the edge implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Deadline
from jira_audit.core.cloud_id import StoredTenant
from jira_audit.core.http import RawResponse
from jira_audit.core.letters import Folder, Letter
from jira_audit.core.outcome import Tally
from jira_audit.core.pages import PageRequest, RecordsPage
from jira_audit.core.policy import Policy
from jira_audit.core.prefetch import PagePeek
from jira_audit.core.window import Window
from jira_audit.flow.memory import BATCH_BYTES, RESPONSE_BYTES, ByteBudget

if TYPE_CHECKING:
    from jira_audit.core.completeness import TableInventory


class Source(Protocol):
    """One Jira site. A whole page has `page_size` records."""

    page_size: int

    def fetch(self, request: PageRequest, seconds: float) -> RawResponse:
        """Request a page once, within about `seconds`. Called from several threads.

        Raises PageUnreadable if the response is too long or too slow (a request for fewer records
        may succeed), TransientError if there is none (the next tick retries), or SiteError if
        access is refused (someone must act).
        """

    def peek(self, answer: RawResponse) -> PagePeek | None:
        """Estimate a response without parsing it; None if it is not a page. Raises nothing.

        Called from several threads.
        """

    def decipher(self, answer: RawResponse, request: PageRequest) -> RecordsPage:
        """Parse the response to a request.

        Raises PageUnreadable if it is no JSON or has too many records (a request for fewer may
        succeed), TransientError or SiteError; a failure is never an empty page.
        """


class Sink(Protocol):
    """The destination of rows."""

    def prepare(self) -> None:
        """Get what a send needs, such as a token, so that a send is one bounded call.

        Raises TransientError or SiteError.
        """

    def send(self, body: bytes) -> None:
        """Send one batch, a JSON array, once; returns only if all of it was accepted.

        Raises BatchRefused, TransientError or SiteError.
        """


class Tenant(Protocol):
    """Tells which tenant answers at the address of a site.

    `configured` is the cloud id that the settings name, None if they name none.
    """

    configured: str | None

    def cloud_id(self) -> str | None:
        """Ask the site for its cloud id now, in lower case; None if it gives no usable answer.

        Where the settings name the cloud id, that one is returned. Raises SiteError if the site
        then says that its own is another one.
        """


class Lease(Protocol):
    """The exclusive lease on one site's checkpoint; `created` if the first one was written."""

    created: bool

    def load(self) -> Checkpoint:
        """Raises SiteError if the checkpoint is unreadable."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Raises TransientError if the write failed or the lease was lost."""

    def hold(self, seconds: float) -> None:
        """Ensure that the lease lasts another `seconds`; raises LeaseLost if not.

        Called from several threads.
        """

    def release(self) -> None:
        """Release the lease."""

    def delete(self) -> None:
        """Delete the checkpoint, and with it the lease. Raises TransientError if that failed."""


class Checkpoints(Protocol):
    """The store of checkpoints."""

    def take(self, first: Checkpoint) -> Lease | None:
        """Take the lease on a site's checkpoint; write `first` if there is none.

        Returns None if another run has the lease.
        """

    def stored(self, site: str) -> bytes | None:
        """The stored bytes of a site's checkpoint, leased or not, if any."""

    def is_leased(self, site: str) -> bool:
        """Whether a run has the lease on a site's checkpoint now. Changes nothing."""

    def tenants(self) -> Sequence[StoredTenant]:
        """What each site's stored checkpoint says of its tenant, sorted by site."""


class Letters(Protocol):
    """The store of dead letters and originals."""

    def keep(self, letter: Letter) -> bool:
        """Store a letter unless it is stored; returns whether it is new.

        It is new too if exactly what is sent is stored, with the moment of storing: a client that
        lost the answer, and tried again, found its own letter.
        """

    def put(self, name: str, content: bytes) -> bool:
        """Store a letter's bytes under its name if there are none. Returns whether it is new.

        Raises SiteError if `name` is not the name of a letter.
        """

    def names(self, folder: Folder, site: str) -> Sequence[str]:
        """The names of a site's letters in one folder, sorted, so by day."""

    def read(self, name: str) -> bytes | None:
        """The stored bytes of a letter, if any.

        Raises SiteError if `name` is not the name of a letter.
        """

    def delete(self, name: str) -> None:
        """Delete a letter; returns only if it no longer exists.

        Raises SiteError if `name` is not the name of a letter.
        """


class Table(Protocol):
    """The table, read back."""

    def held(self, site: str, window: Window, former: Sequence[str] = ()) -> TableInventory:
        """The ids in the table of a site's records created in a range, and their copies.

        Rows of its `former` hosts count. Raises TransientError or SiteError; never returns a
        partial answer.
        """

    def oldest(self) -> int | None:
        """When the oldest row was written, whatever its site: a sign of what the table's retention
        has left. None for an empty table. Raises as `held` does.
        """


@dataclass(frozen=True)
class Ports:
    """What one site's run uses outside.

    `checkpoints` are those of the ticks or, in a backfill, those of `backfills`. `table` is for the
    daily audit, None without one.
    """

    source: Source
    sink: Sink
    checkpoints: Checkpoints
    letters: Letters
    backfills: Checkpoints
    tenant: Tenant
    table: Table | None = None


def _first_done(futures: Sequence[Future[Any]]) -> None:
    wait(futures, return_when=FIRST_COMPLETED)


@dataclass(frozen=True)
class Pools:
    """The threads: `fetching.MAX_CONCURRENT_REQUESTS` fetch, `Policy.in_flight` send.

    `first_done` waits until one of several fetches has ended. `responses` and `batches` bound
    the bytes of either, for all runs that share them.
    """

    fetches: Executor
    sends: Executor
    first_done: Callable[[Sequence[Future[Any]]], object] = _first_done
    responses: ByteBudget = field(default_factory=lambda: ByteBudget(RESPONSE_BYTES))
    batches: ByteBudget = field(default_factory=lambda: ByteBudget(BATCH_BYTES))


@dataclass(frozen=True)
class Run:
    """One run of one site (the lower-case host). `tally` is updated during the run."""

    site: str
    ports: Ports
    policy: Policy
    deadline: Deadline
    pools: Pools
    tally: Tally
