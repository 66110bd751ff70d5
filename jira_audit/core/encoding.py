"""JSON text of anything that came as JSON: orjson where it can, `json` where it refuses.

orjson refuses lone surrogates, integers beyond 64 bits and deep nesting that `json` accepts, and
reads integers beyond 64 bits as floats (https://github.com/ijl/orjson#str, #int). That is known
only here.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

# An integer of 19 digits or more may be beyond 64 bits; orjson would round it to a float. Making
# all digits alike and looking for 19 of them is 20 times as fast as a regular expression.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


def loads(text: bytes) -> Any:
    """Read JSON exactly: no integer rounded, lone surrogates kept.

    Raises ValueError for what is no JSON (`NaN` and `Infinity` are none) or is nested too deeply.
    """
    if _LONG_NUMBER not in text.translate(_DIGITS_ALIKE):
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
