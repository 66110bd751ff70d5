"""That a queue message is a site's name or nothing: nobody forges a log line by the queue."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

import function_app
from jira_audit import app
from jira_audit.core.errors import ConnectorError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.settings.azure import DEVELOPMENT_STORAGE
from jira_audit.wiring import PLAIN_THREADS

SITE = "contoso.atlassian.net"
FORGED = Outcome(SITE, "ok", Tally(), 0, 0, 900).line()
ENVIRONMENT = {
    "JIRA_SITES": json.dumps([{"url": f"https://{SITE}"}, "no object"]),
    "DATA_COLLECTION_ENDPOINT": "https://x-1.westeurope-1.ingest.monitor.azure.com",
    "LOGS_DCR_RULE_ID": "dcr-1",
    "AzureWebJobsStorage": DEVELOPMENT_STORAGE,
}

FOREIGN = [
    FORGED,
    "",
    " ",
    f"{SITE}\n{FORGED}",
    f"{SITE} outcome=ok",
    f"https://{SITE}",
    "\x1b[2J\u202e",
    "a" * 48_000,
    f"{'a.' * 126}aa",
    "JIRA_SITES[x]",
    "\ufffd",
]


@pytest.mark.parametrize("message", FOREIGN)
def test_message_that_names_no_site_is_left_alone(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    app.collect_queued(ENVIRONMENT, message, PLAIN_THREADS)

    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("a queue message names no site")
    assert line.getMessage().isprintable()
    assert len(line.getMessage()) < 250


@pytest.mark.parametrize("message", FOREIGN)
def test_message_given_up_that_names_no_site_is_a_line_of_ours(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    app.given_up(message)

    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("a queue message names no site")
    assert line.getMessage().isprintable()


@pytest.mark.parametrize("name", ["gone.atlassian.net", "JIRA_SITES[7]", "localhost", "::1"])
def test_message_of_a_removed_site_names_it(name: str, caplog: pytest.LogCaptureFixture) -> None:
    app.collect_queued(ENVIRONMENT, name, PLAIN_THREADS)

    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage() == f"the queue names {name}, which is not in JIRA_SITES any more"


@pytest.mark.parametrize("name", [SITE, "JIRA_SITES[7]"])
def test_message_given_up_names_the_site(name: str, caplog: pytest.LogCaptureFixture) -> None:
    app.given_up(name)

    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert line.getMessage().startswith(f"the queue gave up {name} after every attempt")


@pytest.mark.parametrize("name", [SITE, "JIRA_SITES[2]"])
def test_message_of_a_wrong_entry_collects_it(name: str) -> None:
    with pytest.raises(ConnectorError, match=r"settings: JIRA_SITES\["):
        app.collect_queued(ENVIRONMENT, name, PLAIN_THREADS)


def test_message_of_any_bytes_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    message: Any = SimpleNamespace(get_body=lambda: b"\xff\xfe\x00")

    function_app.collect_site(message, None)
    function_app.report_given_up(message)

    assert len(caplog.records) == 2
    assert all("names no site" in line.getMessage() for line in caplog.records)
