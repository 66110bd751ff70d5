"""The simulated Jira site and ingestion endpoint that everything measured is measured against.

Both speak TLS, and the site's answers are gzipped for those who accept it.

`python -m tests.bench.servers --ca FILE` serves both from one process and thread that waits for
nothing; each line of JSON on its standard input changes what is served, and is answered by one that
tells what was observed since the one before. It judges nothing: what the service refuses is
`tests/servers/ingestion.py`'s.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
import ssl
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from jira_audit.simulator.records import sample_records
from jira_audit.simulator.site import FakeJira
from tests.bench import traffic
from tests.servers import async_http_server
from tests.servers.many_sites import ServedSite, cloud_id_of, serve_sites

USERNAME, TOKEN = "auditor@example.com", "a-token"
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 11)]
"""The site answers at each, so that it can be up to ten sites."""

_ID = re.compile(rb'"id_d":\s?(\d+)')


@dataclass
class Ingestion:
    """Takes everything, after so many seconds, and remembers how much it was and which ids, and
    when the first rows came.
    """

    seconds: float = 0.0
    first_at: float | None = None
    sizes: list[int] = field(default_factory=list)
    rows: int = 0
    ids: set[int] = field(default_factory=set)

    async def respond(self, request: async_http_server.Request) -> async_http_server.Reply:
        arrived, body = time.monotonic(), request.body
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        ids = [int(found) for found in _ID.findall(body)]
        await asyncio.sleep(self.seconds)
        if ids:
            self.first_at = self.first_at or arrived
            self.sizes.append(len(body))
            self.rows += len(ids)
            self.ids.update(ids)
        return async_http_server.Reply(204)


def site(records: int, hours: float, text_bytes: int = 0, seed: int = 7) -> FakeJira:
    """A site whose records lie within `hours`, up to ten minutes ago.

    Each has so many bytes of JSON more, half of them quotation marks, as a project administrator
    can write into a version's description.
    """
    made = FakeJira(USERNAME, TOKEN)
    now = time.time_ns() // 1_000_000
    samples = sample_records(
        records,
        first_id=10_000,
        end_ms=now - 600_000,
        span_ms=round(hours * 3_600_000),
        seed=seed,
    )
    traffic.lengthen(samples)
    for record in samples if text_bytes else ():
        text = f"{record['id']:06} " + '"' * (text_bytes // 4)
        change = {"fieldName": "Description", "changedFrom": text, "changedTo": text}
        record["changedValues"] = [change]
    made.add(samples)
    return made


def new_records(count: int, of: FakeJira) -> list[dict[str, Any]]:
    """Records that the site writes just now."""
    now = time.time_ns() // 1_000_000
    first = max((record["id"] for record in of.records), default=9_999) + 1
    made = sample_records(count, first_id=first, end_ms=now, span_ms=1_000, seed=8)
    traffic.lengthen(made)
    return made


def counts(sites: Collection[ServedSite], ingestion: Ingestion) -> dict[str, Any]:
    """What was observed; `most_under_way` is of one site."""
    answered_at = min((each.first_at for each in sites if each.first_at), default=None)
    return {
        "asked": sum(each.asked for each in sites),
        "most_under_way": max(each.most for each in sites),
        "sizes": ingestion.sizes,
        "rows": ingestion.rows,
        "distinct": len(ingestion.ids),
        "first_row_seconds": ingestion.first_at
        and answered_at
        and ingestion.first_at - answered_at,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What is measured is measured against this.")
    parser.add_argument("--ca", type=Path, required=True, help="where the CA certificate goes")
    given = parser.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(given.ca)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", *ADDRESSES).configure_cert(tls)
    jira, ingestion = FakeJira(USERNAME, TOKEN), Ingestion()
    sites = {
        address: ServedSite(jira, cloud_id=cloud_id_of(number), compresses=True)
        for number, address in enumerate(ADDRESSES)
    }
    with (
        serve_sites(sites, tls) as jira_port,
        async_http_server.run_server(ingestion.respond, ["127.0.0.1"], tls=tls) as ingestion_port,
    ):
        endpoints = {
            "jira": f"https://127.0.0.1:{jira_port}",
            "ingestion": f"https://localhost:{ingestion_port}",
        }
        print(json.dumps(endpoints), flush=True)
        for line in sys.stdin:
            wanted = json.loads(line)
            told = counts(sites.values(), ingestion)
            if "records" in wanted:
                names = "records", "hours", "text_bytes", "seed"
                jira = site(*[wanted[name] for name in names])
            if "new" in wanted:
                jira.add(new_records(wanted["new"], jira))
            for each in sites.values():
                each.site, each.seconds = jira, wanted.get("page_seconds", each.seconds)
                each.asked = each.most = 0
                each.first_at = None
            ingestion.seconds = wanted.get("call_seconds", ingestion.seconds)
            ingestion.rows = 0
            ingestion.sizes, ingestion.ids = [], set()
            ingestion.first_at = None
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
