"""Every fault of both services × where it occurs → the outcome, the text, checkpoint and rows.

One table; a new fault is one line. Jira's faults pass through the real `JiraSource`, those of the
ingestion service through the real sink and the real client library.
"""

from __future__ import annotations

import email.utils
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest
import requests

from jira_audit.core import timestamps
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.timestamps import HOUR
from jira_audit.simulator.site import Response
from tests.fakes.transport import error_answer, install_real_sink
from tests.fakes.world import HOST, START, Faults, World, record

Where = Literal["first", "middle", "last", "three times", "always"]
WHERE: tuple[Where, ...] = ("first", "middle", "last", "three times", "always")
pytestmark = pytest.mark.orders  # the answer that fails may be one that was asked for ahead

RECORDS = [record(10_000 + n, START - 4 * HOUR + n * 2 * 60_000) for n in range(120)]
NEWEST = json.dumps({"records": RECORDS[:-13:-1]}).encode()
HTML = b"<html><body>Thing 10001: please log in</body></html>"


@dataclass(frozen=True)
class Case:
    """A fault, whether a retry in the run overcomes it once, and the error text if it persists.

    One that `is_a_page` is answered as a page, so nothing is retried.
    """

    name: str
    fault: Callable[[Callable[[], Any]], Any]
    heals: bool
    words: str
    is_a_page: bool = False


def answer_with(status: int, body: bytes = b"{}", **headers: str) -> Callable[[Any], Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(status, named, body)


def raise_error(error: Exception) -> Callable[[Any], Any]:
    def fault(_: Any) -> Any:
        raise error

    return fault


def date_in_a_minute() -> str:
    return email.utils.formatdate(START / 1000 + 60, usegmt=True)


def ingestion(status: int, code: str, **headers: str) -> Callable[[Any], Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: error_answer(status, code, named)


JIRA = [
    Case("200, HTML", answer_with(200, HTML), True, "not JSON"),
    Case("200, no records", answer_with(200, b'{"total": 5}'), True, "no list of records"),
    Case("200, records no list", answer_with(200, b'{"records": {}}'), True, "no list of records"),
    Case(
        "200, the same page",
        answer_with(200, NEWEST),
        True,
        "same records at different offsets",
        is_a_page=True,
    ),
    Case(
        "200, failed login",
        answer_with(200, b'{"records": []}', X_Seraph_LoginReason="AUTHENTICATED_FAILED"),
        False,
        "does not know the credentials",
    ),
    Case(
        "200, denied login",
        answer_with(200, b'{"records": []}', X_Seraph_LoginReason="AUTHENTICATION_DENIED"),
        False,
        "does not know the credentials",
    ),
    Case("redirect", answer_with(302, Location="https://id.atlassian.com"), False, "redirect"),
    Case(
        "400",
        answer_with(400, b'{"errorMessages": ["Invalid date"]}'),
        False,
        "bug in the connector",
    ),
    Case("401", answer_with(401), False, "token is wrong, revoked or expired"),
    Case("403", answer_with(403), False, "Administer Jira"),
    Case("404", answer_with(404), False, "JIRA_SITE_URL"),
    Case("418", answer_with(418), False, "not documented"),
    Case("429, Retry-After in seconds", answer_with(429, Retry_After="7"), True, "limits the rate"),
    Case(
        "429, Retry-After a date",
        answer_with(429, Retry_After=date_in_a_minute()),
        True,
        "limits the rate",
    ),
    Case("429, no Retry-After", answer_with(429), True, "limits the rate"),
    Case("500", answer_with(500), True, "unavailable"),
    Case("502, HTML", answer_with(502, HTML), True, "unavailable"),
    Case("503, Retry-After", answer_with(503, Retry_After="30"), True, "unavailable"),
    Case("504", answer_with(504), True, "unavailable"),
    Case("599", answer_with(599), True, "not documented"),
    Case("reset", raise_error(requests.ConnectionError("reset")), True, "could not be reached"),
    Case("no answer", raise_error(requests.ReadTimeout("slow")), True, "did not answer in time"),
    Case(
        "cut off", raise_error(requests.exceptions.ChunkedEncodingError()), True, "not be reached"
    ),
]
INGESTION = [
    Case("401", ingestion(401, "InvalidToken"), False, "LOGS_INGESTION_AUDIENCE"),
    Case("403", ingestion(403, "OperationFailed"), False, "takes up to 30 minutes"),
    Case("404, rule", ingestion(404, "NotFound"), False, "LOGS_DCR_RULE_ID"),
    Case("404, id", ingestion(404, "InvalidDcrImmutableId"), False, "LOGS_DCR_RULE_ID"),
    Case("409", ingestion(409, "Odd"), False, "not documented"),
    Case(
        "429, Retry-After", ingestion(429, "Throttled", Retry_After="20"), True, "limits the rate"
    ),
    Case("429, no Retry-After", ingestion(429, "Throttled"), True, "limits the rate"),
    Case("408", ingestion(408, "Timeout"), True, "unavailable"),
    Case("500", ingestion(500, "Internal"), True, "unavailable"),
    Case("502", answer_with(502, HTML), True, "unavailable"),
    Case("503", ingestion(503, "Busy", Retry_After="5"), True, "unavailable"),
    Case("504", ingestion(504, "Gateway"), True, "unavailable"),
    Case("307", answer_with(307, Location="https://elsewhere.example"), False, "not documented"),
    Case("reset", raise_error(requests.ConnectionError("reset")), True, "could not be reached"),
    Case("no answer", raise_error(requests.ReadTimeout("slow")), True, "could not be reached"),
]


def world() -> World:
    made = World(page_size=12, batch_bytes=2_600, lookback=5 * HOUR)
    made.jira.site.add(RECORDS)
    return made


def set_fault(faults: Faults, case: Case, where: Where, calls: int) -> None:
    if where == "always":
        faults.always = case.fault
    elif where == "three times":
        faults.script = [None, case.fault, case.fault, case.fault]
    else:
        faults.at[{"first": 0, "middle": calls // 2, "last": calls - 1}[where]] = case.fault


def ids(made: World) -> set[int]:
    return {known["id"] for known in made.jira.site.records}


def check_runs(made: World, case: Case, where: Where, mend: Callable[[], None]) -> None:
    """What must hold after the fault, and after the next run without the fault."""
    outcome = made.run()
    if case.is_a_page and where == "three times":
        # Three in one window are as a server that ignores offsets; in several, they are not.
        assert outcome.result == "ok" or case.words in str(outcome.error)
    elif case.heals and where != "always":
        assert outcome.result == "ok", outcome.error
        assert outcome.error is None
    else:
        assert outcome.result == "failed"
        assert isinstance(outcome.error, TransientError if case.heals else SiteError)
        assert case.words in str(outcome.error)
        assert "Thing" not in str(outcome.error)
        check_names_the_site(str(outcome.error))
    through = made.store.checkpoint().through
    passed = {r["id"] for r in made.jira.site.records if timestamps.parse(r["created"]) <= through}
    assert not made.missing(passed)
    assert not made.store.letters()
    assert not made.store.leases
    mend()
    assert made.run().result == "ok"
    assert not made.missing(ids(made))
    assert not made.duplicates()


def check_names_the_site(text: str) -> None:
    """Which of several sites it is; once, as the text is the beginning of a log line."""
    assert text.startswith(f"{HOST}: ")
    assert text.count(HOST) == 1


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    said = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert "Thing" not in caplog.text
    for line in said:
        check_names_the_site(line)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", JIRA, ids=lambda case: case.name)
def test_jira_fault_loses_and_duplicates_nothing(
    case: Case, where: Where, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls = world()
    calls.run()
    made = world()
    set_fault(made.jira.faults, case, where, len(calls.jira.requests))

    check_runs(made, case, where, partial(made.jira.faults.__init__))  # type: ignore[misc]

    check_log(caplog)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", INGESTION, ids=lambda case: case.name)
def test_ingestion_fault_loses_and_duplicates_nothing(
    case: Case, where: Where, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    undisturbed = world()
    install_real_sink(undisturbed)
    undisturbed.run()
    made = world()
    service = install_real_sink(made)
    set_fault(service.faults, case, where, undisturbed.journal.entries.count("send"))

    check_runs(made, case, where, partial(service.faults.__init__))  # type: ignore[misc]

    check_log(caplog)
    assert "nobody-may-see" not in caplog.text


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("status", [400, 413])
def test_ingestion_refusal_that_passes_is_healed_by_halving(status: int, where: Where) -> None:
    undisturbed = world()
    install_real_sink(undisturbed)
    undisturbed.run()
    made = world()
    service = install_real_sink(made)
    case = Case("refused", ingestion(status, "InvalidPayload"), True, "")
    set_fault(service.faults, case, where, undisturbed.journal.entries.count("send"))

    check_runs(made, case, where, partial(service.faults.__init__))  # type: ignore[misc]


def test_ingestion_refusal_of_everything_is_a_wrong_configuration() -> None:
    made = world()
    service = install_real_sink(made)
    case = Case("400", ingestion(400, "InvalidStream"), False, "no row is lost")
    set_fault(service.faults, case, "always", 0)

    check_runs(made, case, "always", partial(service.faults.__init__))  # type: ignore[misc]
