"""JSON read and written exactly: by orjson where possible, else by `json`.

orjson refuses lone surrogates and deep nesting that `json` accepts. It does not write integers
beyond 64 bits, and reads them as floats (https://github.com/ijl/orjson#str, #int).
"""

from __future__ import annotations

import json
import math
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

    Writes everything that `loads` returns. A number beyond the range of a double, which `loads`
    reads as infinite, becomes null. Raises ValueError for a value that is not JSON.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass  # `json` decides
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (RecursionError, ValueError):
        pass  # deep nesting, or an infinite number
    except TypeError as error:
        message = "not JSON"
        raise ValueError(message) from error
    return _without_recursion(value).encode()


def _without_recursion(value: object) -> str:
    """Compact JSON of any depth: `json` reads deeper nesting than it writes."""
    parts: list[str] = []
    pending: list[tuple[object, str | None]] = [(value, None)]  # a value, or a text as it is
    while pending:
        each, text = pending.pop()
        if text is not None:
            parts.append(text)
        elif isinstance(each, list):
            pending.append((None, "]"))
            for place in range(len(each) - 1, -1, -1):
                pending += [(each[place], None), (None, "," if place else "")]
            parts.append("[")
        elif isinstance(each, dict):
            pending.append((None, "}"))
            for place, (key, item) in reversed(list(enumerate(each.items()))):
                name = f"{',' if place else ''}{json.dumps(str(key))}:"
                pending += [(item, None), (None, name)]
            parts.append("{")
        elif isinstance(each, float) and not math.isfinite(each):
            parts.append("null")  # as orjson writes it
        else:
            parts.append(json.dumps(each))
    return "".join(parts)


def _refuse(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)
