"""The reading half's requests: several pages of one site at once, for one run.

Which may be asked for ahead of their turn is in `core/ahead.py`, how pages fit together in
`core/pages.py`. This is the one owner of retries of what is asked of a source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from threading import Lock
from typing import Self

from jira_audit.core.ahead import Glimpse, Place, ahead
from jira_audit.core.clock import (
    GRACE_SECONDS,
    TRYING_AGAIN,
    Deadline,
    RetryPolicy,
    retry,
)
from jira_audit.core.errors import TransientError
from jira_audit.core.http import Answer, retry_after
from jira_audit.core.pages import Page, Reading, Response
from jira_audit.core.window import AIM_PAGES, MAX_PAGES, Stretch, Window
from jira_audit.ports import Pools, Source

log = logging.getLogger(__name__)

UNDER_WAY = 4
"""Requests to one site at once, at most; far below what Atlassian holds tokens to:
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

HELD = 3 * UNDER_WAY
"""Answers asked for and not yet used, at most: while the last page of a window is waited for, those
of the next come in. Each is about 0.7 MB."""

LONGER_AT_MOST = MAX_PAGES / AIM_PAGES
"""A window that was asked for ahead is read as it is while it is so many steps long at most.
Longer, it would be given up."""

CLOCK_TICK = 0.01
"""Seconds by which a wait may end early."""

ANSWER_SECONDS = 60.0
"""For a whole answer, however steadily it trickles."""

_Answered = tuple[Answer, Glimpse | None]


class Reader:
    """Reads a site's log window by window, up to the deadline; on one thread.

    `pools.fetches` runs the requests; `meanwhile` is called before anything is waited for. Leaving
    the `with` lets go of whatever is still asked for.
    """

    def __init__(
        self,
        source: Source,
        deadline: Deadline,
        pools: Pools,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._deadline, self._pools = source, deadline, pools
        self._meanwhile = meanwhile
        self._asked: dict[Place, Future[_Answered]] = {}
        self._density: float | None = None
        self._threads = False
        self._quiet_until = 0.0
        self._lock = Lock()

    def __enter__(self) -> Self:
        """Nothing is done until a page is wanted."""
        return self

    def __exit__(self, *_: object) -> None:
        """What is under way may end by itself; nothing more is begun."""
        self._let_go(self._asked)

    def window(self, stretch: Stretch) -> Window | None:
        """The next window: as it was asked for already, unless that is too long by now."""
        begun = (place[0] for place in self._asked if place[0].start == stretch.start)
        fits = (window for window in begun if window.length <= LONGER_AT_MOST * stretch.step)
        return next(fits, stretch.window)

    def pages(self, window: Window, stretch: Stretch) -> Iterator[Page]:
        """Read a stretch's next window newest first, page by page, to the empty one that ends it.

        What seems to follow, in this window and those after it, is asked for at once, as far as
        anything tells. What turns out not to be needed is let go, whatever came of it; how a page
        that is needed failed counts as its first try. No request is begun while a try is waited
        for, or a 429 asks for quiet. Raises OutOfTime, TransientError (the next tick tries again)
        or SiteError (someone acts).
        """
        reading = Reading(self._source.page_size)

        def ask_ahead() -> None:
            self._ask_ahead(window, reading, stretch)

        try:
            ask_ahead()
            while not reading.ended:
                page = reading.take(self._response((window, reading.offset), ask_ahead))
                ask_ahead()
                yield page
        finally:  # what is read again is asked for again
            self._let_go(place for place in self._asked if place[0] == window)
            self._density = reading.received / window.length if reading.ended else None

    def _response(self, place: Place, ask_ahead: Callable[[], None]) -> Response:
        """The response at a place, asked for before or now; tried again as the policy allows."""

        def attempt() -> Response:
            try:
                asked = self._asked[place] = self._asked.get(place) or self._ask(place)
                while asked in (under_way := self._under_way()):
                    self._wait_for_one(under_way)
                    ask_ahead()  # what has come tells what else will be needed
                answer, _ = self._asked.pop(place).result()
                return self._source.decipher(answer, place[1])
            except TransientError as error:
                self._let_go(each for each, asked in self._asked.items() if asked.cancel())
                if error.pause:
                    raise self._paused(error) from error
                raise

        def on_wait(error: TransientError, seconds: float) -> None:
            log.warning(TRYING_AGAIN, error, seconds)
            self._meanwhile()

        return retry(attempt, policy=RetryPolicy(), deadline=self._deadline, on_wait=on_wait)

    def _under_way(self) -> list[Future[_Answered]]:
        """The requests that have not ended yet."""
        return [asked for asked in self._asked.values() if not asked.done()]

    def _wait_for_one(self, under_way: list[Future[_Answered]]) -> None:
        """Wait until one of these, none of which had ended a moment ago, has ended."""
        self._meanwhile()
        self._pools.first_done(under_way)

    def _paused(self, error: TransientError) -> TransientError:
        """The pause that Jira asks for, the longest where several requests were refused at once."""
        while under_way := self._under_way():
            self._wait_for_one(under_way)
        self._let_go(place for place in self._asked if self._glimpsed(place) is None)
        wait = max(error.retry_after or 0.0, self._quiet_seconds())
        return TransientError(str(error), retry_after=wait, pause=True)

    def _ask(self, place: Place) -> Future[_Answered]:
        """Ask for what is needed now."""
        if self._is_quiet():
            message = "Jira asks for fewer requests"
            raise TransientError(message, pause=True)
        if self._threads:  # by the same few threads as the others, so that no more are under way
            return self._pools.fetches.submit(self._attempt, place)
        future: Future[_Answered] = Future()
        future.set_result(self._attempt(place))
        return future

    def _ask_ahead(self, window: Window, reading: Reading, stretch: Stretch) -> None:
        """Ask for what comes next, as long as there is room; let go of what does not, after all."""
        course = ahead(window, reading, stretch, self._density, self.window, self._glimpsed)
        places = list(islice(course, 2 * HELD))
        if len(places) <= 1 and not self._threads:
            return  # one after the other needs no thread
        windows = {place[0] for place in places}
        full = len(self._asked) >= HELD
        others = self._asked.keys() - places - {(window, reading.offset)}
        self._let_go(place for place in others if full or place[0] not in windows)
        for place in places:
            if len(self._under_way()) >= UNDER_WAY or len(self._asked) >= HELD or self._is_quiet():
                return
            if place[0] != window and self._deadline.left() <= 0:
                return
            if place not in self._asked:
                self._asked[place] = self._pools.fetches.submit(self._attempt, place)
                self._threads = True

    def _let_go(self, places: Iterable[Place]) -> None:
        for place in list(places):
            self._asked.pop(place).cancel()

    def _glimpsed(self, place: Place) -> Glimpse | None:
        """What has been answered at a place, if it has been asked for and is a page."""
        asked = self._asked.get(place)
        return asked.result()[1] if asked and asked.done() and not asked.exception() else None

    def _attempt(self, place: Place) -> _Answered:
        """One request, on whatever thread; a 429 is heeded from the moment it comes."""
        seconds = max(1.0, min(ANSWER_SECONDS, self._deadline.left() + GRACE_SECONDS))
        answer = self._source.fetch(place, seconds)
        if answer.status == 429:
            quiet = retry_after(answer.headers, answer.at) or RetryPolicy().first
            with self._lock:
                until = self._deadline.clock.monotonic() + quiet
                self._quiet_until = max(self._quiet_until, until)
        return answer, Glimpse.of(answer.body) if answer.status == 200 else None

    def _is_quiet(self) -> bool:
        return self._quiet_seconds() > CLOCK_TICK

    def _quiet_seconds(self) -> float:
        return self._quiet_until - self._deadline.clock.monotonic()
