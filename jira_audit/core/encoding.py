"""JSON text of anything that came as JSON: orjson where it can, `json` where it refuses.

orjson refuses lone surrogates, integers beyond 64 bits and deep nesting that `json` accepts, and
reads integers beyond 64 bits as floats (https://github.com/ijl/orjson#str, #int). Only these two
functions know that.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# An integer of 19 digits or more may be beyond 64 bits; orjson would round it to a float.
_LONG_NUMBER = re.compile(rb"\d{19}")


def loads(text: bytes) -> Any:
    """Read JSON exactly: no integer rounded, lone surrogates kept.

    Raises ValueError for what is no JSON (`NaN` and `Infinity` are none) or is nested too deeply.
    """
    if not _LONG_NUMBER.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # `json` decides
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        message = "nested too deeply"
        raise ValueError(message) from error


def dumps(value: object) -> bytes:
    """Write JSON, compact, that `loads` reads back as the same value.

    Raises ValueError for what is no JSON or is nested too deeply for this Python.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass  # `json` decides
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (RecursionError, TypeError) as error:
        message = "nested too deeply, or no JSON"
        raise ValueError(message) from error


def _refuse(constant: str) -> None:
    message = f"{constant} is no JSON"
    raise ValueError(message)
