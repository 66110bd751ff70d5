"""The algorithm of the connector that came before, to be measured beside ours.

One page, one call, one after the other; the `json` of the standard library; a body is whatever a
page came to; nothing is stored on the way. Its errors are left out: nothing fails here. It is
written anew from what is known of it: https://github.com/Azure/Azure-Sentinel/tree/master/Solutions/AtlassianJiraAudit
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.servers.ingestion import RULE, STREAM

LIMIT = 1_000


def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {
        "id_d": record["id"],
        "summary_s": record.get("summary"),
        "remoteAddress_s": record.get("remoteAddress"),
        "authorKey_s": record.get("authorKey"),
        "authorAccountId_s": record.get("authorAccountId"),
        "created_t": record.get("created"),
        "Category": record.get("category"),
        "eventSource_s": record.get("eventSource"),
        "changedValues_s": json.dumps(record.get("changedValues")),
        "associatedItems_s": json.dumps(record.get("associatedItems")),
    }
    item = record.get("objectItem") or {}
    for name in ("id", "name", "typeName", "parentId", "parentName"):
        row[f"objectItem_{name}_s"] = item.get(name)
    return {column: value for column, value in row.items() if value is not None}


def collect(environment: Mapping[str, str]) -> None:
    """One run over the hours that a first run of ours reads."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    start = now - timedelta(hours=int(environment["INITIAL_LOOKBACK_HOURS"]))
    auth = (environment["JIRA_USERNAME"], environment["JIRA_API_TOKEN"])
    to = (
        f"{environment['DATA_COLLECTION_ENDPOINT']}/dataCollectionRules/{RULE}/streams/{STREAM}"
        "?api-version=2023-01-01"
    )
    offset = 0
    while True:
        query: dict[str, str | int] = {
            "from": start.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "to": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "offset": offset,
            "limit": LIMIT,
        }
        page = requests.get(
            f"{environment['JIRA_SITE_URL']}/rest/api/3/auditing/record",
            params=query,
            auth=auth,
            timeout=60,
        )
        records = json.loads(page.content)["records"]
        if not records:
            return
        body = json.dumps([row_of(record) for record in records])
        requests.post(
            to, data=body, headers={"Content-Type": "application/json"}, timeout=60
        ).raise_for_status()
        offset += LIMIT


if __name__ == "__main__":
    collect(os.environ)
