"""Fetching: the requests for pages of one site, several at once, for one run.

Which pages are worth asking for ahead of their turn is decided elsewhere (`core/ahead.py`). This is
the one owner of retries of what is asked of a source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Lock

from jira_audit.core.ahead import Glimpse, Place
from jira_audit.core.clock import GRACE_SECONDS, TRYING_AGAIN, Clock, RetryPolicy, retry
from jira_audit.core.errors import TransientError
from jira_audit.core.http import RawResponse, retry_after
from jira_audit.core.pages import Response
from jira_audit.flow.ports import Run

log = logging.getLogger(__name__)

UNDER_WAY = 4
"""Requests to one site at once, at most; far below what Atlassian holds tokens to:
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

HELD = 3 * UNDER_WAY
"""Answers asked for and not yet used, at most: while the last page of a window is waited for, those
of the next come in. Each is about 0.7 MB."""

CLOCK_TICK = 0.01
"""Seconds by which a wait may end early."""

ANSWER_SECONDS = 60.0
"""For a whole answer, however steadily it trickles."""

_Answered = tuple[RawResponse, Glimpse | None]


class Throttle:
    """The pause that Jira asks of every caller (HTTP 429). Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock, self._until = clock, Lock(), 0.0

    def pause(self, seconds: float) -> None:
        """Jira asks for so many seconds from now on."""
        with self._lock:
            self._until = max(self._until, self._clock.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        """How long it lasts; negative when it is over."""
        return self._until - self._clock.monotonic()

    @property
    def is_on(self) -> bool:
        """Whether nothing is to be asked for."""
        return self.seconds_left > CLOCK_TICK


class PageRequests:
    """What was asked of a source and not used yet; on one thread, but for the requests themselves.

    An answer is used only for the place that it was asked for, when that has its turn. What turns
    out not to be needed is dropped, whatever its answer; how one that is needed failed counts as
    its first try. No request is begun while a try is waited for, or a 429 asks for a pause.
    """

    def __init__(self, run: Run) -> None:
        self._source, self._pools, self._deadline = run.ports.source, run.pools, run.deadline
        self._throttle = Throttle(run.deadline.clock)
        self._asked: dict[Place, Future[_Answered]] = {}
        self._is_threaded = False

    @property
    def places(self) -> Collection[Place]:
        """What was asked for and not used yet."""
        return self._asked.keys()

    def response(self, place: Place, prefetch: Callable[[], None]) -> Response:
        """The response at a place, asked for before or now; retried as the policy allows.

        Whenever another answer comes in before it, `prefetch` is called: that answer tells what
        else will be needed. Raises OutOfTime, TransientError (the next tick tries again) or
        SiteError (someone acts).
        """

        def attempt() -> Response:
            try:
                asked = self._asked[place] = self._asked.get(place) or self._ask(place)
                while asked in (under_way := self._under_way()):
                    self._pools.first_done(under_way)
                    prefetch()
                answer, _ = self._asked.pop(place).result()
                return self._source.decipher(answer, place[1])
            except TransientError as error:
                self.drop(each for each, asked in self._asked.items() if asked.cancel())
                if error.pause:
                    raise self._paused(error) from error
                raise

        on_wait = partial(log.warning, TRYING_AGAIN)
        return retry(attempt, policy=RetryPolicy(), deadline=self._deadline, on_wait=on_wait)

    def prefetch(self, places: Collection[Place], needed: Place) -> None:
        """Ask for what comes next, as long as there is room; drop what does not, after all.

        `places` has the soonest first; `needed` is the place whose turn it is.
        """
        if len(places) <= 1 and not self._is_threaded:
            return  # one after the other needs no thread
        windows = {place[0] for place in places}
        full = len(self._asked) >= HELD
        others = self._asked.keys() - set(places) - {needed}
        self.drop(place for place in others if full or place[0] not in windows)
        for place in places:
            is_full = len(self._under_way()) >= UNDER_WAY or len(self._asked) >= HELD
            if is_full or self._throttle.is_on:
                return
            if place[0] != needed[0] and self._deadline.left() <= 0:
                return
            if place not in self._asked:
                self._is_threaded = True
                self._asked[place] = self._pools.fetches.submit(self._attempt, place)

    def peek(self, place: Place) -> Glimpse | None:
        """What was answered at a place, if it was asked for and is a page."""
        asked = self._asked.get(place)
        return asked.result()[1] if asked and asked.done() and not asked.exception() else None

    def drop(self, places: Iterable[Place]) -> None:
        """These are not needed."""
        for place in list(places):
            self._asked.pop(place).cancel()

    def _under_way(self) -> list[Future[_Answered]]:
        """The requests that have not ended yet."""
        return [asked for asked in self._asked.values() if not asked.done()]

    def _paused(self, error: TransientError) -> TransientError:
        """The pause that Jira asks for, the longest where several requests were refused at once."""
        while under_way := self._under_way():
            self._pools.first_done(under_way)
        self.drop(place for place in self._asked if self.peek(place) is None)
        wait = max(error.retry_after or 0.0, self._throttle.seconds_left)
        return TransientError(str(error), retry_after=wait, pause=True)

    def _ask(self, place: Place) -> Future[_Answered]:
        """Ask for what is needed now."""
        if self._throttle.is_on:
            message = "Jira asks for fewer requests"
            raise TransientError(message, pause=True)
        if self._is_threaded:  # by the same few threads, so that no more are under way
            return self._pools.fetches.submit(self._attempt, place)
        future: Future[_Answered] = Future()
        future.set_result(self._attempt(place))
        return future

    def _attempt(self, place: Place) -> _Answered:
        """One request, on whatever thread; a 429 is heeded from the moment it comes."""
        seconds = max(1.0, min(ANSWER_SECONDS, self._deadline.left() + GRACE_SECONDS))
        answer = self._source.fetch(place, seconds)
        if answer.status == 429:
            self._throttle.pause(retry_after(answer.headers, answer.at) or RetryPolicy().first)
        return answer, Glimpse.of(answer.body) if answer.status == 200 else None
