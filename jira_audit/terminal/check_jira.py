"""`check` of one Jira site: whether its audit log can be read, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jira_audit import wiring
from jira_audit.core import expiry
from jira_audit.core.errors import AccessRefused, ConnectorError, CredentialsRefused
from jira_audit.core.text import printable
from jira_audit.settings.values import Site
from jira_audit.terminal.check_result import CheckResult


def jira_results(site: Site, now: int) -> Iterator[CheckResult]:
    """Whether the audit log can be read, and a warning if the token expires soon."""
    yield jira_result(site)
    expires = site.token_expires
    if expires and expiry.days_left(expires, now) <= expiry.WARNING_DAYS:
        sentence = expiry.advice(site.host, expires, now, site.secret_setting)
        yield CheckResult("Jira", ok=True, warning=True, sentence=sentence, site=site.host)


def jira_result(site: Site) -> CheckResult:
    """Whether the audit log can be read; tries the gateway if the site refuses the token."""
    try:
        wiring.source(site).probe()
    except CredentialsRefused as refused:
        return _fails(site, str(refused)) if site.gateway else _through_gateway(site)
    except AccessRefused as refused:
        return _fails(site, _why_refused(site, refused))
    except ConnectorError as error:
        return _fails(site, str(error))
    route = " through Atlassian's gateway" if site.gateway else ""
    sentence = f"{site.holder} can read the audit log of {site.host}{route}"
    return compare_cloud_id(site, sentence) if site.cloud_id else _works(site, sentence)


def _works(site: Site, sentence: str) -> CheckResult:
    return CheckResult("Jira", ok=True, sentence=sentence, site=site.host)


def _fails(site: Site, sentence: str) -> CheckResult:
    return CheckResult("Jira", ok=False, sentence=sentence, site=site.host)


def _why_refused(site: Site, refused: AccessRefused) -> str:
    """Which of the causes of a 403 it is, as Jira says of the account's permission."""
    try:
        administers = wiring.source(site).administers()
    except ConnectorError:
        administers = None
    if administers is None:
        return str(refused).replace(". jira-audit check tells which", "")
    if administers:
        return (
            f"{site.host}: Jira refuses (HTTP 403), though {site.holder} has the permission "
            "Administer Jira: all of the site's Jira products are on the Free plan, which has no "
            "audit log, or a scoped token lacks the scope read:audit-log:jira"
        )
    return (
        f"{site.host}: {site.holder} lacks the global permission Administer Jira (HTTP 403): grant "
        "it in Jira's settings, System, Global permissions"
    )


def _through_gateway(site: Site) -> CheckResult:
    """Whether a refused token is a scoped one, which only the gateway accepts."""
    gateway = replace(site, gateway=True)
    try:
        wiring.source(gateway).probe()
    except ConnectorError as error:
        both = isinstance(error, CredentialsRefused)
        sentence = (
            f"{site.host}: Jira rejected the credentials (HTTP 401)"
            f"{', directly and through the gateway' if both else ''}: the token is wrong, revoked "
            "or expired, or the e-mail address is not its owner's"
        )
        if not both:
            sentence += f". The gateway: {printable(str(error), 80)}"
        return _fails(site, sentence)
    cloud_id = wiring.gateway(gateway).cloud_id()
    sentence = (
        f"the token of {site.holder} is scoped: {site.host} refuses it, Atlassian's "
        f"gateway accepts it. Set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return _fails(site, sentence)


def compare_cloud_id(site: Site, sentence: str) -> CheckResult:
    """Whether the cloud id in the settings is the site's own."""
    try:
        cloud_id = wiring.gateway(replace(site, cloud_id=None)).cloud_id()
    except ConnectorError as error:
        unchecked = f"; its cloud id could not be compared with that of {site.host}: {error}"
        return _works(site, sentence + unchecked)
    if cloud_id.lower() == (site.cloud_id or "").lower():
        return _works(site, sentence)
    wrong = (
        f"the cloud id {site.cloud_id} belongs to another site, whose records would be delivered "
        f"as those of {site.host}: set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return _fails(site, wrong)
