"""The cloud id: Atlassian's identifier of a site under all its names.

https://support.atlassian.com/jira/kb/retrieve-my-atlassian-sites-cloud-id/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jira_audit.core import encoding

TENANT_PATH = "/_edge/tenant_info"
"""Where a site tells its cloud id to anybody, as `{"cloudId": …}`."""

UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
"""The form of a UUID with hyphens, as a regular expression."""


@dataclass(frozen=True, slots=True)
class StoredTenant:
    """What a site's stored checkpoint says of its tenant, whether the rest can be read or not."""

    site: str
    cloud_id: str | None
    claim: str | None

    @classmethod
    def of(cls, site: str, content: bytes) -> StoredTenant:
        """Read it from the content of a checkpoint blob."""
        try:
            blob = encoding.loads(content)
        except ValueError:
            blob = None
        values = blob if isinstance(blob, dict) else {}
        cloud_id, claim = values.get("cloud_id"), values.get("claim")
        return cls(
            site,
            cloud_id if isinstance(cloud_id, str) else None,
            claim if isinstance(claim, str) else None,
        )


def is_cloud_id(text: str) -> bool:
    """Whether a text is a UUID with hyphens, as cloud ids are."""
    return re.fullmatch(UUID, text) is not None
