"""The types of the settings: frozen, checked values; secrets print as stars."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import ClassVar, NoReturn, TypeVar

from jira_audit.core.errors import SettingsError
from jira_audit.core.policy import Policy
from jira_audit.core.schedule import EVERY_5_MINUTES, PollSchedule

_T = TypeVar("_T")

QUEUE_ABOVE = 10
"""So many sites run side by side in the timer's invocation; with more, each has its own. A higher
value would make sites share the time left."""


SERVICE_ACCOUNT = "@serviceaccount.atlassian.com"
"""The end of a service account's user name; its tokens are always scoped:
https://support.atlassian.com/user-management/docs/manage-api-tokens-for-service-accounts/"""


class Secret:
    """Text that prints as `***`; `reveal` is for the code that sends it."""

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
        """Whether both have the same text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """The text's hash: clients are cached by their settings."""
        return hash(self._text)


@dataclass(frozen=True)
class ApiToken:
    """The token of a user or a service account, for Basic authentication."""

    username: str
    token: Secret

    @property
    def holder(self) -> str:
        """The user name."""
        return self.username

    @property
    def is_scoped(self) -> bool:
        """Whether only Atlassian's gateway takes it, as far as is visible."""
        return self.username.lower().endswith(SERVICE_ACCOUNT)


@dataclass(frozen=True)
class OAuthClient:
    """A service account's OAuth 2.0 client credentials."""

    client_id: str
    secret: Secret

    @property
    def holder(self) -> str:
        """The client's id, in words."""
        return f"the OAuth client {self.client_id}"

    @property
    def is_scoped(self) -> bool:
        """True: its tokens always are."""
        return True


@dataclass(frozen=True)
class Site:
    """One Jira Cloud tenant and its credentials, named by its `host`, in lower case.

    With `gateway`, requests go through Atlassian's gateway to the site of `cloud_id`, which is
    requested if not set. `secret_setting` holds the token or secret. `host_suffixes` are domains,
    beside Atlassian's, where the site may be. A site without requests has no credentials.
    """

    host: str
    base_url: str
    credentials: ApiToken | OAuthClient | None
    gateway: bool = False
    cloud_id: str | None = None
    token_expires: date | None = None
    secret_setting: str = "JIRA_API_TOKEN"  # noqa: S105  the name of a setting
    host_suffixes: tuple[str, ...] = ()

    @property
    def holder(self) -> str:
        """The credentials' holder; empty without credentials."""
        return self.credentials.holder if self.credentials else ""


@dataclass(frozen=True)
class InvalidSite:
    """An invalid entry of `JIRA_SITES`: its name and all its problems."""

    site: str
    error: SettingsError


@dataclass(frozen=True)
class Storage:
    """Where checkpoints are.

    `account` is a connection string (secret), or the blob service's address for an identity.
    """

    container: str
    account: Secret | str
    client_id: str | None = None


@dataclass(frozen=True)
class Ingestion:
    """The data collection rule's stream, and its sender."""

    endpoint: str
    rule: str
    stream: str
    audience: str
    client_id: str | None


@dataclass(frozen=True)
class Azure:
    """Where rows and checkpoints go.

    With `managed_identity`, the credential is the app's, of `client_id`; without, the
    developer's. `queries` is the cloud's query endpoint. `ingestion` is None if nothing is sent.
    `audit_workspace` is the workspace that the daily audit queries, None without an audit.
    """

    ingestion: Ingestion | None
    storage: Storage
    queries: str
    lease_seconds: int
    send_seconds: float
    managed_identity: bool
    client_id: str | None = None
    audit_workspace: str | None = None

    @property
    def audits(self) -> bool:
        """Whether the table is compared with the ledger once a day."""
        return self.audit_workspace is not None

    def match(self, azure: Callable[[Azure], _T], folder: Callable[[Path], _T]) -> _T:  # noqa: ARG002
        """Call `azure` with these settings; `folder` is for a `LocalFolder`."""
        return azure(self)


@dataclass(frozen=True)
class LocalFolder:
    """A local folder that rows and checkpoints go to, as a command of the terminal was told."""

    path: Path
    send_seconds: ClassVar[float] = Policy.send_seconds
    audits: ClassVar[bool] = False

    def match(self, azure: Callable[[Azure], _T], folder: Callable[[Path], _T]) -> _T:  # noqa: ARG002
        """Call `folder` with the path; `azure` is for an `Azure`."""
        return folder(self.path)


Destination = Azure | LocalFolder
"""Where rows and checkpoints go. `match` tells one from the other."""


@dataclass(frozen=True)
class Settings:
    """All settings, checked.

    `invalid` entries of `JIRA_SITES` keep no other site from running. `schedule` is when the timer
    fires.
    """

    sites: tuple[Site, ...]
    invalid: tuple[InvalidSite, ...]
    destination: Destination
    policy: Policy
    reset_site: str | None
    budget_seconds: int
    queue_above: int = QUEUE_ABOVE
    schedule: PollSchedule = EVERY_5_MINUTES

    @property
    def azure(self) -> Azure:
        """The settings of Azure. Raises TypeError for a local folder: the caller has a bug."""
        return self.destination.match(lambda azure: azure, _no_azure)

    @property
    def is_single(self) -> bool:
        """Whether one site is set up in all, not merely left by `only`."""
        return len(self.policy.hosts) <= 1 and len(self.sites) + len(self.invalid) == 1

    def policy_for(self, site: Site) -> Policy:
        """The policy for one site, without a reset meant for another."""
        if self.reset_site in {None, site.host}:
            return self.policy
        return replace(self.policy, reset=None)

    def only(self, names: Collection[str]) -> Settings:
        """With the sites of these names alone."""
        sites = tuple(site for site in self.sites if site.host in names)
        invalid = tuple(entry for entry in self.invalid if entry.site in names)
        return replace(self, sites=sites, invalid=invalid)

    def with_stored(self, hosts: Iterable[str]) -> Settings:
        """With the sites that have stored state but are not set up. They get no requests."""
        set_up = {site.host for site in self.sites}
        stored = (Site(host, f"https://{host}", None) for host in hosts if host not in set_up)
        return replace(self, sites=(*self.sites, *stored))


def _no_azure(folder: Path) -> NoReturn:
    raise TypeError(folder)
