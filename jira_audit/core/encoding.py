"""JSON read and written exactly: by orjson where possible, else by `json`.

orjson refuses lone surrogates and deep nesting that `json` accepts. It does not write integers
beyond 64 bits, and reads them as floats (https://github.com/ijl/orjson#str, #int).
"""

from __future__ import annotations

import json
from typing import Any

import orjson

# An integer of 19 digits may exceed 64 bits. To map all digits to 0 and search for 19 of them is 20
# times as fast as a regular expression.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


def loads(text: bytes) -> Any:
    """Read JSON: integers are exact, lone surrogates are kept.

    Raises ValueError for text that is not JSON (such as `NaN`) or nested too deeply.
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
    """Write compact JSON that `loads` reads back unchanged.

    Raises ValueError for a value that is not JSON or nested too deeply for this Python.
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
