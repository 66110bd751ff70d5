"""JSON read and written exactly: by orjson where possible, else by `json`.

orjson refuses lone surrogates, integers beyond 64 bits and deep nesting that `json` accepts. It
reads integers beyond 64 bits as floats (https://github.com/ijl/orjson#str, #int). Only this module
knows that.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

# An integer of 19 or more digits may exceed 64 bits; orjson would round it to a float. Mapping all
# digits to 0 and searching for 19 of them is 20 times as fast as a regular expression.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


def loads(text: bytes) -> Any:
    """Read JSON exactly: integers are not rounded and lone surrogates are kept.

    Raises ValueError for text that is not JSON (`NaN` and `Infinity` are not) or is nested too
    deeply.
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
    """Write compact JSON that `loads` reads back as the same value.

    Raises ValueError for a value that is not JSON or is nested too deeply for this Python.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass  # `json` decides
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (RecursionError, TypeError) as error:
        message = "nested too deeply, or not JSON"
        raise ValueError(message) from error


def _refuse(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)
