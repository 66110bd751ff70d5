"""Fetching: one run's requests for pages of one site, several at once.

`core/ahead.py` decides which pages to prefetch. Requests to a source are retried here and nowhere
else.
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
"""Concurrent requests to one site, at most; far below Atlassian's limit per token:
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

HELD = 3 * UNDER_WAY
"""Requested and unused responses, at most: while the last page of a window is awaited, pages of the
next window arrive. Each is about 0.7 MB."""

CLOCK_TICK = 0.01
"""Seconds by which a wait may end early: timer resolution."""

ANSWER_SECONDS = 60.0
"""Seconds for a whole response, even if data keeps arriving slowly."""

_Answered = tuple[RawResponse, Glimpse | None]


class Throttle:
    """The pause that Jira requires of every caller (HTTP 429). Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock, self._until = clock, Lock(), 0.0

    def pause(self, seconds: float) -> None:
        """Pause for `seconds` from now."""
        with self._lock:
            self._until = max(self._until, self._clock.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        """The rest of the pause in seconds; negative after its end."""
        return self._until - self._clock.monotonic()

    @property
    def is_on(self) -> bool:
        return self.seconds_left > CLOCK_TICK


class PageRequests:
    """The requests to a source that were not used yet. Only the requests run on other threads.

    Prefetches the pages that will probably be needed. A response is used only for the place it was
    requested for. An unused response is dropped, even if it failed; a failed one that is needed
    counts as the first attempt. No request is sent while a retry waits or a 429 requires a pause.
    """

    def __init__(self, run: Run) -> None:
        self._source, self._pools, self._deadline = run.ports.source, run.pools, run.deadline
        self._throttle = Throttle(run.deadline.clock)
        self._asked: dict[Place, Future[_Answered]] = {}
        self._is_threaded = False
        self.places: Collection[Place] = self._asked.keys()
        """The places that were requested and not used yet."""

    def response(self, place: Place, prefetch: Callable[[], None]) -> Response:
        """The response for a place, prefetched or requested now, with retries.

        Calls `prefetch` whenever another response arrives first, because that response shows which
        pages will be needed. Raises OutOfTime or TransientError (the next tick retries), or
        SiteError (someone must act).
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
        """Request the predicted places within the limits; drop those no longer predicted.

        `places` has the soonest first; `needed` is the place to be used next.
        """
        if len(places) <= 1 and not self._is_threaded:
            return  # sequential requests need no thread
        windows = {place[0] for place in places}
        full = len(self._asked) >= HELD
        others = self._asked.keys() - set(places) - {needed}
        self.drop(place for place in others if full or place[0] not in windows)
        for place in places:
            if not self._may_ask(place, needed):
                return
            if place not in self._asked:
                self._is_threaded = True
                self._asked[place] = self._pools.fetches.submit(self._attempt, place)

    def _may_ask(self, place: Place, needed: Place) -> bool:
        """Whether there is room; for a window after the one that is read, time as well."""
        is_full = len(self._under_way()) >= UNDER_WAY or len(self._asked) >= HELD
        is_late = place[0] != needed[0] and self._deadline.left() <= 0
        return not (is_full or is_late or self._throttle.is_on)

    def peek(self, place: Place) -> Glimpse | None:
        """The estimate of the response for a place, if it has arrived and is a page."""
        asked = self._asked.get(place)
        return asked.result()[1] if asked and asked.done() and not asked.exception() else None

    def drop(self, places: Iterable[Place]) -> None:
        for place in list(places):
            self._asked.pop(place).cancel()

    def _under_way(self) -> list[Future[_Answered]]:
        return [asked for asked in self._asked.values() if not asked.done()]

    def _paused(self, error: TransientError) -> TransientError:
        """The pause that Jira requires: the longest if several requests were refused at once."""
        while under_way := self._under_way():
            self._pools.first_done(under_way)
        self.drop(place for place in self._asked if self.peek(place) is None)
        wait = max(error.retry_after or 0.0, self._throttle.seconds_left)
        return TransientError(str(error), retry_after=wait, pause=True)

    def _ask(self, place: Place) -> Future[_Answered]:
        if self._throttle.is_on:
            message = "Jira asks for fewer requests"
            raise TransientError(message, pause=True)
        if self._is_threaded:  # on the same pool, which limits the concurrent requests
            return self._pools.fetches.submit(self._attempt, place)
        future: Future[_Answered] = Future()
        future.set_result(self._attempt(place))
        return future

    def _attempt(self, place: Place) -> _Answered:
        """Send one request, on any thread; a 429 takes effect as soon as it arrives."""
        seconds = max(1.0, min(ANSWER_SECONDS, self._deadline.left() + GRACE_SECONDS))
        answer = self._source.fetch(place, seconds)
        if answer.status == 429:
            self._throttle.pause(retry_after(answer.headers, answer.at) or RetryPolicy().first)
        return answer, Glimpse.of(answer.body) if answer.status == 200 else None
