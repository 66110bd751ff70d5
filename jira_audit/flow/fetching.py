"""Fetching: one run's requests for pages, several at once.

`core/prefetch.py` decides which pages to prefetch. Only this module retries requests to a source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Lock

from jira_audit.core.clock import GRACE_SECONDS, RETRY_LOG_FORMAT, Clock, RetryPolicy, retry
from jira_audit.core.errors import OutOfTime, PageUnreadable, TransientError
from jira_audit.core.http import RawResponse, duration_text, retry_after
from jira_audit.core.pages import PAGE_BYTES, PAGE_SIZE, PageRequest, RecordsPage
from jira_audit.core.prefetch import PagePeek
from jira_audit.flow.memory import WAIT_SECONDS
from jira_audit.flow.ports import Run

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 4
"""Concurrent requests to one site, at most; far below Atlassian's limit per token:
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"""

FIRST_ESTIMATE = PAGE_BYTES // PAGE_SIZE
"""Bytes of a record before one was read; later, those of the last page's records count."""

MIN_ESTIMATE = 256
"""Bytes of a record, at least: records grow and shrink from page to page."""

MAX_BUFFERED_RESPONSES = 3 * MAX_CONCURRENT_REQUESTS
"""Requested and unused responses, at most, each about 0.7 MB: pages of the next window may arrive
before the last one of this window."""

TIMER_RESOLUTION = 0.01
"""Seconds by which a wait may end early."""

ANSWER_SECONDS = 60.0
"""Seconds for a whole response, however slowly it arrives."""

_Answered = tuple[RawResponse, PagePeek | None]


class Throttle:
    """The pause that Jira asks of every caller (HTTP 429). Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock, self._until = clock, Lock(), 0.0

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, self._clock.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        """Negative after the pause."""
        return self._until - self._clock.monotonic()

    @property
    def is_on(self) -> bool:
        return self._until - self._clock.monotonic() > TIMER_RESOLUTION


class PageRequests:
    """The requests to a source that were not used yet. Only the requests run on other threads.

    An unused response is dropped, even if it failed; a failed one that is needed counts as the
    first attempt. No request is sent while a retry waits or a 429 asks for a pause. The bytes of
    all responses that are requested, held or used count towards the process's budget.
    """

    def __init__(self, run: Run) -> None:
        self._site = run.site
        self._source, self._pools, self._deadline = run.ports.source, run.pools, run.deadline
        self._throttle = Throttle(run.deadline.clock)
        self._asked: dict[PageRequest, Future[_Answered]] = {}
        self._is_threaded = False
        self._memory = run.pools.responses
        self._bytes: dict[PageRequest, int] = {}
        self._in_use, self._record_bytes = 0, FIRST_ESTIMATE
        self.unused: Collection[PageRequest] = self._asked.keys()

    def response(
        self, request: PageRequest, prefetch: Callable[[], None], *, is_smallest: bool
    ) -> RecordsPage:
        """The response for a page, prefetched or requested now, with retries.

        Calls `prefetch` whenever another response arrives first, since it shows which pages will be
        needed. Raises PageUnreadable if fewer records should be requested, or, if `is_smallest`,
        after retries; OutOfTime or TransientError (the next tick retries); or SiteError (someone
        must act).
        """
        if self._in_use:  # the response before was used
            self._free()

        def attempt() -> RecordsPage:
            try:
                asked = self._asked[request] = self._asked.get(request) or self._ask(request)
                while asked in (under_way := self._under_way()):
                    self._pools.first_done(under_way)
                    prefetch()
                self._in_use = self._bytes.pop(request)
                answer, _ = self._asked.pop(request).result()
                page = self._source.decipher(answer, request)
            except TransientError as error:
                self._free()
                self.drop(each for each, asked in self._asked.items() if asked.cancel())
                if error.pause:
                    raise self._paused(error) from error
                raise
            if page.records:
                self._record_bytes = max(MIN_ESTIMATE, page.size // len(page.records))
            if page.size > self._in_use:
                self._memory.give_back(self._in_use - page.size)
                self._in_use = page.size
            return page

        return retry(
            attempt,
            policy=RetryPolicy(),
            deadline=self._deadline,
            on_wait=self._log_wait,
            is_final=_SameRecord() if is_smallest else _is_unreadable,
        )

    def prefetch(self, unused: Collection[PageRequest], needed: PageRequest) -> None:
        """Request the predicted pages within the limits; drop those no longer predicted.

        `unused` has the soonest first; `needed` is used next.
        """
        if len(unused) <= 1 and not self._is_threaded:
            return  # sequential requests need no thread
        windows = {request.window for request in unused}
        full = len(self._asked) >= MAX_BUFFERED_RESPONSES
        others = self._asked.keys() - set(unused) - {needed}
        self.drop(request for request in others if full or request.window not in windows)
        for request in unused:
            if not self._may_ask(request, needed):
                return
            if request not in self._asked:
                if not self._reserve(request):
                    return
                self._is_threaded = True
                self._asked[request] = self._pools.fetches.submit(self._attempt, request)

    def _may_ask(self, request: PageRequest, needed: PageRequest) -> bool:
        """Whether there is room and, for a later window, time."""
        is_full = (
            len(self._under_way()) >= MAX_CONCURRENT_REQUESTS
            or len(self._asked) >= MAX_BUFFERED_RESPONSES
        )
        is_late = request.window != needed.window and self._deadline.left() <= 0
        return not (is_full or is_late or self._throttle.is_on)

    def _log_wait(self, error: TransientError, seconds: float) -> None:
        log.warning(RETRY_LOG_FORMAT, error.with_site(self._site), seconds)

    def peek(self, request: PageRequest) -> PagePeek | None:
        """The estimate of a response, if it arrived and is a page."""
        asked = self._asked.get(request)
        return asked.result()[1] if asked and asked.done() and not asked.exception() else None

    def drop(self, unused: Iterable[PageRequest]) -> None:
        """Forget these requests. One in progress holds its bytes until it ends."""
        for request in list(unused):
            asked, count = self._asked.pop(request), self._bytes.pop(request)
            asked.cancel()
            asked.add_done_callback(partial(self._give_back, count))

    def _give_back(self, count: int, _: Future[_Answered]) -> None:
        self._memory.give_back(count)

    def close(self) -> None:
        """Drop all, at the end of the run."""
        self.drop(self.unused)
        self._free()

    def _under_way(self) -> list[Future[_Answered]]:
        return [asked for asked in self._asked.values() if not asked.done()]

    def _paused(self, error: TransientError) -> TransientError:
        """The longest pause, if Jira refused several requests at once."""
        while under_way := self._under_way():
            self._pools.first_done(under_way)
        self.drop(request for request in self._asked if self.peek(request) is None)
        wait = max(error.retry_after or 0.0, self._throttle.seconds_left)
        return TransientError(str(error), retry_after=wait, pause=True)

    def _reserve(self, request: PageRequest, seconds: float = 0.0) -> bool:
        """Count the response to a request; False if that takes longer than `seconds`."""
        count = request.limit * self._record_bytes
        if not self._memory.take(count, seconds):
            return False
        self._bytes[request] = count
        return True

    def _free(self) -> None:
        """The response in use is used no longer."""
        self._memory.give_back(self._in_use)
        self._in_use = 0

    def _ask(self, request: PageRequest) -> Future[_Answered]:
        if self._throttle.is_on:
            wait = duration_text(self._throttle.seconds_left)
            message = f"Jira limits the rate of requests (wait: {wait})"
            raise TransientError(message, pause=True)
        while not self._reserve(request, WAIT_SECONDS):
            if self._deadline.left() < -GRACE_SECONDS:
                message = f"{self._site}: the memory for a response did not become free in time"
                raise OutOfTime(message)
            self.drop(self._asked)  # so that two sites never wait for each other
        if self._is_threaded:  # on the pool, which limits concurrent requests
            return self._pools.fetches.submit(self._attempt, request)
        future: Future[_Answered] = Future()
        try:
            future.set_result(self._attempt(request))
        except BaseException:
            self._memory.give_back(self._bytes.pop(request))
            raise
        return future

    def _attempt(self, request: PageRequest) -> _Answered:
        """Send one request, on any thread; a 429 takes effect on arrival."""
        seconds = max(1.0, min(ANSWER_SECONDS, self._deadline.left() + GRACE_SECONDS))
        answer = self._source.fetch(request, seconds)
        if answer.status == 429:
            self._throttle.pause(retry_after(answer.headers, answer.at) or RetryPolicy().first)
        return answer, self._source.peek(answer)


def _is_unreadable(error: TransientError) -> bool:
    """To request fewer records is a better retry than to request the same again."""
    return isinstance(error, PageUnreadable)


class _SameRecord:
    """Whether the same unreadable record was received twice: then it will be so again."""

    def __init__(self) -> None:
        self._records: set[bytes] = set()

    def __call__(self, error: TransientError) -> bool:
        record = error.record if isinstance(error, PageUnreadable) else b""
        is_same = record in self._records
        self._records.add(record)
        return is_same and bool(record)
