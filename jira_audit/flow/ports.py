"""The ports: what the flow needs of the world, as protocols that the edge modules fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from jira_audit.core.ahead import Place
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Deadline
from jira_audit.core.http import RawResponse
from jira_audit.core.letters import Folder, Letter
from jira_audit.core.outcome import Tally
from jira_audit.core.pages import Response
from jira_audit.core.policy import Policy


class Source(Protocol):
    """Where records come from: one Jira site. `page_size` records are asked for at a time."""

    page_size: int

    def fetch(self, place: Place, seconds: float) -> RawResponse:
        """Ask for the page at a place, once, in about so many seconds at most.

        May be called from several threads. Raises TransientError where nothing is answered, or
        SiteError where the way in is closed.
        """

    def decipher(self, answer: RawResponse, offset: int) -> Response:
        """Turn what was answered at an offset into records.

        Raises TransientError or SiteError: a failure is never an empty page.
        """


class Sink(Protocol):
    """Where rows go."""

    def prepare(self) -> None:
        """Have ready whatever a send needs, such as a token, so that a send is one bounded call.

        Raises TransientError or SiteError.
        """

    def send(self, body: bytes) -> None:
        """Send one batch, a JSON array, once. To return is to say that all of it was accepted.

        Raises BatchRefused, TransientError or SiteError.
        """


class Lease(Protocol):
    """One site's checkpoint, held by this run alone.

    `created` is true when there was none and the first one was written.
    """

    created: bool

    def load(self) -> Checkpoint:
        """Read the checkpoint. Raises SiteError if it cannot be read as one."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint. Raises TransientError when the lease was lost, or on failure."""

    def hold(self, seconds: float) -> None:
        """See that the lease lasts `seconds` more. Raises LeaseLost when it does not.

        May be called from several threads.
        """

    def release(self) -> None:
        """Give the lease back."""


class Checkpoints(Protocol):
    """Where checkpoints are stored."""

    def take(self, first: Checkpoint) -> Lease | None:
        """Take the lease on the checkpoint of `first.site`, writing `first` if there is none.

        None when another run holds it.
        """

    def stored(self, site: str) -> bytes | None:
        """What is stored for a site, as it is, whoever holds it; None if nothing is."""


class Letters(Protocol):
    """Where dead letters and originals are kept."""

    def keep(self, letter: Letter) -> bool:
        """Keep it, once: true when it was not there before."""

    def names(self, folder: Folder, site: str) -> Sequence[str]:
        """The names of all letters of a site in one folder, sorted, and so by day."""

    def read(self, name: str) -> bytes | None:
        """What is stored under a letter's name, as it is; None if nothing is.

        Raises SiteError for what is no letter's name.
        """

    def delete(self, name: str) -> None:
        """Delete the letter of this name; to return is to say that it is not there any more.

        Raises SiteError for what is no letter's name.
        """


@dataclass(frozen=True)
class Ports:
    """All that one site's run touches outside."""

    source: Source
    sink: Sink
    checkpoints: Checkpoints
    letters: Letters


def _first_done(futures: Sequence[Future[Any]]) -> None:
    wait(futures, return_when=FIRST_COMPLETED)


@dataclass(frozen=True)
class Pools:
    """Threads for what waits: one for each request to Jira, and each send, that may be under way.

    The numbers are `reader.UNDER_WAY` and `Policy.in_flight`. `first_done` waits until one at least
    of several fetches has ended.
    """

    fetches: Executor
    sends: Executor
    first_done: Callable[[Sequence[Future[Any]]], object] = _first_done


@dataclass(frozen=True)
class Run:
    """One site in one run: what every part of the flow needs to know of it.

    `site` is its lower-case host; `tally` is counted up on the way, for whoever shows it.
    """

    site: str
    ports: Ports
    policy: Policy
    deadline: Deadline
    pools: Pools
    tally: Tally
