"""The settings once they are read: frozen, checked values, and secrets that print as stars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from jira_audit.core.errors import SettingsError
from jira_audit.core.policy import Policy

QUEUE_ABOVE = 10
"""So many sites run inside the timer's invocation, side by side; with more, each has one of its
own. No more may be set: sites that wait for their turn would share what time is left."""


SERVICE_ACCOUNT = "@serviceaccount.atlassian.com"
"""How a service account's user name ends; its tokens are scoped, always:
https://support.atlassian.com/user-management/docs/manage-api-tokens-for-service-accounts/"""


class Secret:
    """A text that prints as `***`, whatever prints it; `reveal` is for the place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        """Never the text."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Equal to a secret of the same text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Of the text, so that clients can be cached by their settings."""
        return hash(self._text)


@dataclass(frozen=True)
class ApiToken:
    """A user's or a service account's token, for Basic authentication."""

    username: str
    token: Secret

    @property
    def holder(self) -> str:
        """Who is let in."""
        return self.username

    @property
    def is_scoped(self) -> bool:
        """Whether only Atlassian's gateway takes it, as far as can be seen."""
        return self.username.lower().endswith(SERVICE_ACCOUNT)


@dataclass(frozen=True)
class OAuthClient:
    """A service account's OAuth 2.0 client credentials."""

    client_id: str
    secret: Secret

    @property
    def holder(self) -> str:
        """Who is let in."""
        return f"the OAuth client {self.client_id}"

    @property
    def is_scoped(self) -> bool:
        """Its tokens are, always."""
        return True


@dataclass(frozen=True)
class Site:
    """One Jira Cloud tenant and its credentials. `host` names it everywhere; it is lower case.

    With `gateway`, requests go through Atlassian's gateway, to the site of `cloud_id`, which is
    asked for where it is not set. `secret_setting` is the setting that holds the token or secret.
    A site that nothing is asked of has no credentials.
    """

    host: str
    base_url: str
    credentials: ApiToken | OAuthClient | None
    gateway: bool = False
    cloud_id: str | None = None
    token_expires: date | None = None
    secret_setting: str = "JIRA_API_TOKEN"  # noqa: S105  the name of a setting

    @property
    def holder(self) -> str:
        """Who is let in; empty without credentials."""
        return self.credentials.holder if self.credentials else ""


@dataclass(frozen=True)
class InvalidSite:
    """An entry of `JIRA_SITES` that is wrong: what it is called, and everything that is wrong."""

    site: str
    error: SettingsError


@dataclass(frozen=True)
class Storage:
    """Where checkpoints live.

    `account` is a connection string (secret), or the blob service's address for an identity.
    """

    container: str
    account: Secret | str
    client_id: str | None = None


@dataclass(frozen=True)
class Ingestion:
    """The data collection rule's stream, and who sends to it."""

    endpoint: str
    rule: str
    stream: str
    audience: str
    client_id: str | None


@dataclass(frozen=True)
class Azure:
    """Where rows and checkpoints go.

    `managed_identity` says that the credential is the app's own; else it is the developer's;
    `queries` is where the cloud's workspaces are asked about what they hold, by the identity of
    `client_id`. Where nothing is sent, there is no `ingestion`.
    """

    ingestion: Ingestion | None
    storage: Storage
    queries: str
    lease_seconds: int
    send_seconds: float
    managed_identity: bool
    client_id: str | None = None


@dataclass(frozen=True)
class Settings:
    """Everything an administrator can set, checked. `destination` is Azure, or a local folder.

    `invalid` are entries of `JIRA_SITES` that cannot be used; they keep no other site from running.
    """

    sites: tuple[Site, ...]
    invalid: tuple[InvalidSite, ...]
    destination: Azure | Path
    policy: Policy
    reset_site: str | None
    budget_seconds: int
    queue_above: int = QUEUE_ABOVE

    def policy_for(self, site: Site) -> Policy:
        """The policy for one site: a reset meant for another does not concern it."""
        if self.reset_site in {None, site.host}:
            return self.policy
        return replace(self.policy, reset=None)

    def with_stored(self, hosts: Iterable[str]) -> Settings:
        """With more sites, that are set_up by what was stored of them: nothing is asked of them."""
        set_up = {site.host for site in self.sites}
        stored = (Site(host, f"https://{host}", None) for host in hosts if host not in set_up)
        return replace(self, sites=(*self.sites, *stored))
