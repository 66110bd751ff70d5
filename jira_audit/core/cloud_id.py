"""The cloud id: Atlassian's identifier of a site under all its names.

https://support.atlassian.com/jira/kb/retrieve-my-atlassian-sites-cloud-id/
"""

from __future__ import annotations

import re

_FORM = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_cloud_id(text: str) -> bool:
    """Whether a text is a UUID with hyphens, as cloud ids are."""
    return _FORM.fullmatch(text) is not None
