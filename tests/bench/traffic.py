"""Records as long and as varied as Jira's: what the simulated site's are not.

Those of the demo are short, and their ids are few. Real ones average 560 to 810 bytes and are full
of hexadecimal ids, whose digits are long runs now and then. Ids and texts are drawn from pools, so
that a million records fit into memory; the pools are far larger than what gzip looks back over.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any

from jira_audit.simulator.records import Record

POOL = 5_000
FAT_SHARE = 0.4
"""Records with several changes and associated items; the others have at most one of each more."""

_WORDS = (
    *("account", "berth", "cargo", "deck", "engine", "ferry", "gravel", "harbour", "island"),
    *("jetty", "keel", "lamp", "mast", "night", "oar", "pilot", "quay", "rudder", "sail", "tide"),
    *("upkeep", "vessel", "wharf", "yard", "zone"),
)


def lengthen(records: Sequence[Record], seed: int = 9) -> None:
    """Give each record ids of real forms, and more changes and associated items, in place."""
    rng = random.Random(seed)
    people = [{"id": rng.randbytes(12).hex(), "key": f"ug:{_uuid(rng)}"} for _ in range(POOL // 10)]
    items = [_item(rng) for _ in range(POOL)]
    changes = [[_change(rng) for _ in range(rng.randint(3, 6))] for _ in range(POOL)]
    for record in records:
        if "authorKey" in record:
            person = rng.choice(people)
            record["authorKey"], record["authorAccountId"] = person["key"], person["id"]
        if rng.random() < FAT_SHARE:
            record["changedValues"] = rng.choice(changes)
            record["associatedItems"] = rng.sample(items, rng.randint(1, 3))
        else:
            record["associatedItems"] = [rng.choice(items)]


def _item(rng: random.Random) -> dict[str, Any]:
    identity = rng.choice(
        [rng.randbytes(12).hex(), rng.randbytes(16).hex(), _uuid(rng), f"557058:{_uuid(rng)}"]
    )
    kind = rng.choice(("USER", "PROJECT", "SCHEME", "CUSTOM_FIELD"))
    return {"id": identity, "name": _words(rng, 2), "typeName": kind, "parentId": _uuid(rng)}


def _change(rng: random.Random) -> dict[str, Any]:
    return {"fieldName": _words(rng, 1), "changedFrom": _words(rng, 5), "changedTo": _words(rng, 6)}


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
