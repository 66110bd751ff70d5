"""Asks a site for its cloud id, without credentials.

https://support.atlassian.com/jira/kb/retrieve-my-atlassian-sites-cloud-id/
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from jira_audit.core import encoding
from jira_audit.core.address import is_loopback, redirect_target
from jira_audit.core.clock import Clock
from jira_audit.core.cloud_id import TENANT_PATH, is_cloud_id
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.http import RawResponse
from jira_audit.edge import transport

ANSWER_SECONDS = 5.0
ANSWER_LIMIT = 65_536
"""Bytes; an answer is some 50."""


class SiteTenant:
    """The tenant at a site's own address, `site_url`, without a slash at the end.

    A renamed site's former address redirects; one redirect is followed, to a host that `admits`
    allows. `configured` is the cloud id in the settings, in lower case. `on_answer` receives each
    cloud id that the address itself, without a redirect, has told.
    """

    def __init__(
        self,
        site_url: str,
        configured: str | None,
        admits: Callable[[str], bool],
        clock: Clock,
        on_answer: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.configured = configured
        self._site_url, self._admits, self._clock = site_url, admits, clock
        self._on_answer = on_answer
        self._session = transport.session()

    def cloud_id(self) -> str | None:
        """The cloud id in the settings, or the one that the site tells; None if it tells none.

        Raises SiteError if the two differ: the settings would file one tenant's records as those of
        another.
        """
        told = self._ask()
        if self.configured and told and told != self.configured:
            message = (
                f"the cloud id in the settings ({self.configured}) is another site's: that of "
                f"{self._site_url} is {told}; correct JIRA_CLOUD_ID (cloud_id in JIRA_SITES)"
            )
            raise SiteError(message)
        return self.configured or told

    def _ask(self) -> str | None:
        answer = self._fetch(self._site_url)
        if answer is None or not 300 <= answer.status < 400:
            told = _cloud_id(answer)
            if told:
                self._on_answer(told)
            return told
        target = redirect_target(answer.headers.get("Location"))
        if target is None or not self._admits(target[0]):
            return None
        if is_loopback(target[0]) and not is_loopback(urlsplit(self._site_url).hostname):
            return None
        return _cloud_id(self._fetch(target[1]))

    def _fetch(self, base_url: str) -> RawResponse | None:
        try:
            return transport.fetch(
                self._session,
                "Atlassian",
                "GET",
                base_url + TENANT_PATH,
                limit=ANSWER_LIMIT,
                seconds=ANSWER_SECONDS,
                clock=self._clock,
            )
        except TransientError:
            return None  # the caller decides what an unknown cloud id means


def _cloud_id(answer: RawResponse | None) -> str | None:
    """The cloud id in an answer, in lower case; None for any other answer."""
    if answer is None or answer.status != 200:
        return None
    try:
        content = encoding.loads(answer.body)
    except ValueError:
        return None
    told = content.get("cloudId") if isinstance(content, dict) else None
    return told.lower() if isinstance(told, str) and is_cloud_id(told) else None
