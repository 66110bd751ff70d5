"""The cloud id: what Atlassian identifies a site by, under all its names.

https://support.atlassian.com/jira/kb/retrieve-my-atlassian-sites-cloud-id/
"""

from __future__ import annotations

import re

_FORM = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_cloud_id(text: str) -> bool:
    """Whether it has the form of a cloud id, which is a UUID with its hyphens."""
    return _FORM.fullmatch(text) is not None
