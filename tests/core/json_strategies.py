"""Hypothesis strategies for the core's tests: any JSON, and almost valid records."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# Includes lone surrogates: `json` reads them, and Jira can send them.
texts = st.text(st.characters(codec=None), max_size=40)
integers = st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**63, -(2**63) - 1])
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False)


def _nested_list(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


# orjson writes up to 254 levels, and reads up to 1,024.
values: st.SearchStrategy[Any] = st.recursive(
    scalars | texts | st.builds(_nested_list, st.sampled_from([3, 253, 254, 255, 600])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)

_fields = st.sampled_from(
    [
        *("id", "created", "summary", "description", "category", "eventSource", "remoteAddress"),
        *("authorKey", "authorAccountId", "objectItem", "changedValues", "associatedItems"),
        *("name", "typeName", "parentId", "parentName", "new", ""),
    ]
)
objects = st.dictionaries(_fields | texts, values, max_size=6)
moments_texts = st.sampled_from(
    [
        "2021-01-20T12:40:01.903+0000",
        "2021-01-20T12:40:01.903Z",
        "0001-01-01T00:00:00.000+0000",
        "9999-12-31T23:59:59.999+0000",
        "9999-12-31T23:59:59.999-0100",
        "2021-01-20T12:40:01.903",
        "\ud83d",
    ]
)
records: st.SearchStrategy[Any] = st.builds(
    lambda any_fields, known: any_fields | known,
    st.dictionaries(_fields | texts, values | objects | st.lists(objects, max_size=3), max_size=9),
    st.fixed_dictionaries(
        {"id": st.integers(-(2**63), 2**63 - 1), "created": moments_texts},
        optional={"objectItem": objects, "changedValues": st.lists(objects, max_size=3)},
    ),
)


def parse_strictly(text: bytes | str) -> Any:
    """Read JSON independently of the connector: UTF-8, no NaN, no repeated keys."""

    def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    def reject_constant(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(
        text.decode("utf-8") if isinstance(text, bytes) else text,
        object_pairs_hook=reject_duplicate_keys,
        parse_constant=reject_constant,
    )
