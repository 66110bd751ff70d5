"""Every setting, one row each, in the order of the table in `docs/settings.md`.

A row is the only definition of its setting. That table, the template's parameters and the portal's
form are checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from jira_audit.core.cloud_id import UUID
from jira_audit.core.timestamps import HOUR, MINUTE, SECOND
from jira_audit.settings.values import QUEUE_ABOVE

Part = Literal["sites", "jira", "ingestion", "storage", "run"]
"""What a command may need: the sites' names; the connection to Jira; the data collection rule; the
storage of checkpoints and letters; how a run reads and sends."""

Needs = frozenset[Part]

EVERYTHING: Needs = frozenset({"sites", "jira", "ingestion", "storage", "run"})

STORED: Needs = frozenset({"sites", "storage"})
"""What a command needs that reads only stored state."""

Kind = Literal["text", "number", "choice", "date", "address", "list"]

LONGEST_BUDGET_SECONDS = 540
"""host.json's `functionTimeout` less a minute."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    `parts` read it. `default` is its value if it is not set; `derived` says where another comes
    from. A `number` is from `at_least` to `at_most`, in `unit` milliseconds if it is a duration; a
    `choice` is one of `choices`. A `text` matches the regular expression `pattern` in full, else
    the problem is `must`. `missing` is the action if it is required and not set; an `optional` one
    is required only beside others. `help` is that table's last column.
    """

    name: str
    parts: Needs
    help: str = ""
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    default: str | int | None = None
    derived: str = ""
    missing: str = ""
    optional: bool = False
    at_least: int = 0
    at_most: int = 0
    unit: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    must: str = ""
    secret: bool = False
    free: bool = False
    """Its parts are checked one by one; a comment in it may look like a placeholder."""


_SITES: Needs = frozenset({"sites"})
_JIRA: Needs = frozenset({"jira"})
_INGESTION: Needs = frozenset({"ingestion"})
_STORAGE: Needs = frozenset({"storage"})
_RUN: Needs = frozenset({"run"})

_LABEL = r"(?![0-9]+([.,\s]|$))[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""One label of a domain; one of digits only is of an address."""

_REGISTRY = r"(ac|co|com|edu|gov|net|org)\.[a-z]{2}(?![a-z0-9.-])"
"""Below which anybody can register a domain, as below a top-level domain."""

_DOMAIN = rf"(\*?\.)?(?!{_REGISTRY})({_LABEL}\.)+{_LABEL}"
_DOMAINS = rf"(?i){_DOMAIN}(\s*,\s*{_DOMAIN})*\s*,?"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "JIRA_SITE_URL",
        _SITES,
        "`https://contoso.atlassian.net`; alias `JiraHomeSiteName` (`contoso`)",
        kind="address",
        aliases=("JiraHomeSiteName",),
        missing="set it to https://<your site>.atlassian.net",
    ),
    Setting(
        "JIRA_USERNAME",
        _JIRA,
        "the e-mail address the token belongs to; alias `JiraUsername`",
        aliases=("JiraUsername",),
        missing="set it to the e-mail address the token belongs to",
        pattern="[^:]*",
        must="must not contain a colon",
    ),
    Setting(
        "JIRA_API_TOKEN",
        _JIRA,
        "an API token; a scoped one needs `JIRA_CLOUD_ID`; alias `JiraAccessToken`",
        aliases=("JiraAccessToken",),
        missing="set it to the API token",
        secret=True,
    ),
    Setting(
        "JIRA_OAUTH_CLIENT_ID",
        _JIRA,
        "a service account's OAuth 2.0 client, instead of user name and token",
        missing="set it to the client's id",
        optional=True,
    ),
    Setting(
        "JIRA_OAUTH_CLIENT_SECRET",
        _JIRA,
        "its secret",
        missing="set it to the client's secret",
        optional=True,
        secret=True,
    ),
    Setting(
        "JIRA_CLOUD_ID",
        _JIRA,
        "if set, requests go through Atlassian's gateway. `check` finds out whether that is needed",
        derived="discovered",
        pattern=UUID,
        must="must be an id such as 11111111-2222-4333-8444-555555555555",
    ),
    Setting(
        "JIRA_SITES",
        _SITES,
        "several sites, instead of the settings above: [Several sites](#several-sites)",
        kind="list",
        free=True,
    ),
    Setting(
        "DATA_COLLECTION_ENDPOINT",
        _INGESTION,
        "the data collection rule's ingestion endpoint",
        kind="address",
        missing="set it to the rule's logs ingestion endpoint",
    ),
    Setting(
        "LOGS_DCR_RULE_ID",
        _INGESTION,
        "its immutable id, `dcr-…`",
        missing="set it to the rule's immutable id, dcr-…",
        pattern="dcr-[0-9A-Za-z-]+",
        must="must be the immutable id, dcr-…, not the rule's name",
    ),
    Setting(
        "LOGS_DCR_STREAM_NAME",
        _INGESTION,
        default="Custom-Jira_Audit_CL",
        pattern="(Custom|Microsoft)-[0-9A-Za-z_-]+",
        must="must begin with Custom-",
    ),
    Setting(
        "LOGS_INGESTION_AUDIENCE",
        _INGESTION,
        "`https://monitor.azure.us` and so on",
        kind="address",
        derived="from the endpoint's cloud",
    ),
    Setting(
        "AUDIT_WORKSPACE_ID",
        _RUN,
        "the workspace's id, a GUID. If set, the table is compared with the ledger once a day",
        pattern=UUID,
        must="must be the workspace's id, such as 11111111-2222-4333-8444-555555555555, not its "
        "name or resource id",
    ),
    Setting(
        "AzureWebJobsStorage",
        _STORAGE,
        "the host's own storage: a connection string",
        derived="required, or one of the next two",
        missing="set it to a connection string, or AzureWebJobsStorage__accountName to the "
        "account's name where an identity is used",
        secret=True,
    ),
    Setting(
        "AzureWebJobsStorage__accountName",
        _STORAGE,
        "the storage account's name, with an identity instead of a key",
        pattern="[a-z0-9]{3,24}",
        must="must be 3 to 24 lower-case letters, digits",
    ),
    Setting(
        "AzureWebJobsStorage__blobServiceUri",
        _STORAGE,
        "or its blob service's address",
        kind="address",
    ),
    Setting(
        "AzureWebJobsStorage__clientId",
        _STORAGE,
        "the user-assigned identity for storage",
        derived="`AZURE_CLIENT_ID`",
    ),
    Setting("AZURE_CLIENT_ID", _INGESTION | _STORAGE, "the user-assigned identity"),
    Setting(
        "CHECKPOINT_CONTAINER",
        _STORAGE,
        "checkpoints, dead letters and originals",
        default="jira-audit",
        pattern="(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*",
        must="must be 3 to 63 lower-case letters, digits and single hyphens",
    ),
    Setting(
        "CHECKPOINT_RESET",
        _RUN,
        "begin again at a time: an ISO time with zone, a date, or `all`. "
        "`contoso.atlassian.net=…` limits it to one site. `#anything` after it only makes the "
        "value a new one. Each distinct value is applied once, so leaving it set does nothing more",
        free=True,
    ),
    Setting(
        "POLL_SCHEDULE",
        _RUN,
        "six fields, seconds first. The Functions host reads it, so it must be set",
        default="0 */5 * * * *",
    ),
    Setting(
        "INITIAL_LOOKBACK_HOURS",
        _RUN,
        "where a site without a checkpoint begins",
        kind="number",
        default=24,
        at_least=1,
        at_most=24 * 366,
        unit=HOUR,
    ),
    Setting(
        "OVERLAP_MINUTES",
        _RUN,
        "every run reads them again, for late records",
        kind="number",
        default=15,
        at_least=1,
        at_most=24 * 60,
        unit=MINUTE,
    ),
    Setting(
        "SWEEP_HOURS",
        _RUN,
        "one run a day reads them again, for late records",
        kind="number",
        default=48,
        at_least=1,
        at_most=24 * 31,
        unit=HOUR,
    ),
    Setting(
        "RUN_BUDGET_SECONDS",
        _RUN,
        "a run begins no new window after them; at most 540",
        kind="number",
        default=480,
        at_least=10,
        at_most=LONGEST_BUDGET_SECONDS,
        unit=SECOND,
    ),
    Setting(
        "QUEUE_SITES_ABOVE",
        _RUN,
        "at most 10. With more sites, each is collected in an invocation of its own: [Many "
        "sites](many-sites.md)",
        kind="number",
        default=QUEUE_ABOVE,
        at_least=0,
        at_most=QUEUE_ABOVE,
    ),
    Setting(
        "LEASE_SECONDS",
        _RUN,
        "15 to 60: how long a dead run can hold its site",
        kind="number",
        default=60,
        at_least=15,
        at_most=60,
        unit=SECOND,
    ),
    Setting(
        "JIRA_ALLOWED_HOST_SUFFIXES",
        _JIRA,
        "further domains that a site may be on, for custom domains, separated by commas: "
        "`jira.contoso.com`",
        pattern=_DOMAINS,
        must="must be domains such as jira.contoso.com, with commas between: each a name of the "
        "site's owner, not an address, a whole top-level domain or one such as co.uk",
    ),
    Setting(
        "JIRA_TOKEN_EXPIRES",
        _SITES,
        "a date; every run warns from 14 days before",
        kind="date",
    ),
    Setting(
        "TIME_GENERATED_SOURCE",
        _RUN,
        "what `TimeGenerated` is. With `created`, rules with a one-hour look-back miss late "
        "records",
        kind="choice",
        default="ingestion",
        choices=("ingestion", "created"),
    ),
)

BY_NAME: Mapping[str, Setting] = MappingProxyType({row.name: row for row in SETTINGS})
