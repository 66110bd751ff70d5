"""Names in the environment that look like settings, and are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from jira_audit.settings.table import SETTINGS

OURS = ("JIRA_", "LOGS_DCR_", "LOGS_INGESTION_", "DATA_COLLECTION_", "CHECKPOINT_")
"""How the names of this app's settings begin that no other program reads."""

NOT_OURS = ("AZURE", "WEBSITE", "FUNCTIONS")
"""Azure's libraries and the host read more names of these beginnings than the table has."""

SIMILAR = 0.85
"""How similar a misspelt name is (difflib's ratio)."""

_NAMES = {name: name for row in SETTINGS for name in (row.name, *row.aliases)}
_BY_UPPER = {name.upper(): name for name in _NAMES}


def unknown_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each name that is unknown, and begins like one of ours or nearly is one.

    A name that `JIRA_SITES` mentions holds a secret of an entry.
    """
    sites = environment.get("JIRA_SITES", "")
    for name in sorted(environment):
        upper = name.upper()
        if name in _NAMES or name in sites or upper.startswith(NOT_OURS):
            continue
        close = get_close_matches(upper, _BY_UPPER, 1, SIMILAR)
        if close:
            yield f"{name} is not read: did you mean {_BY_UPPER[close[0]]}?"
        elif upper.startswith(OURS):
            yield f"{name} is not known, and not read"
