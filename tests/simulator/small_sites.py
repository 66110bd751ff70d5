"""Sites of a few records, and requests to them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jira_audit.simulator.records import Record, sample_records
from jira_audit.simulator.site import (
    RECORDS_PATH,
    FakeJira,
    Response,
)

USERNAME, TOKEN = "auditor@example.com", "a-token"
NOW_MS = 1_709_648_445_678  # 2024-03-05T14:20:45.678Z
DAY_MS = 86_400_000


def basic(username: str = USERNAME, token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode()}


def created(ms: int) -> str:
    """`ms` milliseconds after noon of one day, as Jira writes `created`."""
    at = datetime(2024, 3, 1, 12, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def record(identity: int, ms: int, **more: Any) -> Record:
    return {"id": identity, "created": created(ms), **more}


def site_with(*records: Record, page_cap: int = 1000) -> FakeJira:
    site = FakeJira(USERNAME, TOKEN, page_cap)
    site.add(records)
    return site


def ask(
    site: FakeJira,
    path: str = RECORDS_PATH,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return site.answer(path, query or {}, basic() if headers is None else headers, NOW_MS)


def page(site: FakeJira, **query: str) -> Any:
    answer = ask(site, query={name.strip("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def ids(site: FakeJira, **query: str) -> list[int]:
    return [found["id"] for found in page(site, **query)["records"]]


def status_and_errors(answer: Response) -> tuple[int, list[str]]:
    return answer.status, json.loads(answer.body)["errorMessages"]


def some_records(count: int = 2000, seed: int = 1) -> list[Record]:
    return sample_records(count, first_id=10_000, end_ms=NOW_MS, span_ms=30 * DAY_MS, seed=seed)
