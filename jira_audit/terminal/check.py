"""The check of an installation: is each part reachable, and does it let us in?

Asks for the smallest thing that proves it, and changes nothing but that a missing container is made
(which the first run would do as well). How the answers are shown is in `cli.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jira_audit import wiring
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    CredentialsRefused,
    SiteError,
)
from jira_audit.flow.sending import PROBE
from jira_audit.settings.load import load
from jira_audit.settings.values import Azure, Settings, Site

Part = Literal["settings", "Jira", "ingestion", "storage"]


@dataclass(frozen=True)
class Answer:
    """How one part is: the sentence says what works, or what to do."""

    part: Part
    ok: bool
    sentence: str


def check(environment: Mapping[str, str]) -> Iterator[Answer]:
    """Try every part, independently of the others; each answer comes as soon as it is known.

    Raises SettingsError before anything is requested; everything else foreseen is an answer.
    """
    return _answers(load(environment, wiring.CLOCK.now()))


def _answers(checked: Settings) -> Iterator[Answer]:
    to = checked.destination
    if isinstance(to, Path) or to.ingestion is None:
        raise TypeError(to)  # check loads all settings, and none for a folder
    sites = ", ".join(site.host for site in checked.sites)
    name, rule = to.ingestion.stream, to.ingestion.rule
    stream = f"{name} of {rule}"
    yield Answer("settings", ok=True, sentence=f"complete: from {sites} to {stream}")
    for entry in checked.invalid:
        yield Answer("settings", ok=False, sentence=str(entry.error).removeprefix("settings: "))
    for site in checked.sites:
        yield _jira(site)
    yield _answer(
        "ingestion", lambda: _send_nothing(to, name), f"an empty batch was taken by {stream}"
    )
    container = f"the container {to.storage.container} is there"
    yield _answer("storage", lambda: wiring.probe_storage(to), container)


def _jira(site: Site) -> Answer:
    """Whether the audit log may be read; where the site refuses a token, by the gateway."""
    who = site.holder
    by = " through Atlassian's gateway" if site.gateway else ""
    try:
        wiring.source(site).probe()
    except CredentialsRefused as refused:
        if site.gateway:
            return Answer("Jira", ok=False, sentence=str(refused))
        other = replace(site, gateway=True)
        try:
            wiring.source(other).probe()
        except ConnectorError as error:
            sentence = f"{refused} Tried through the gateway as well: {error}"
            return Answer("Jira", ok=False, sentence=sentence)
        cloud_id = wiring.gateway(other).cloud_id()
        return Answer(
            "Jira",
            ok=False,
            sentence=f"the token of {who} is a scoped one: {site.host} refuses it, and Atlassian's "
            f"gateway takes it. Set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}",
        )
    except ConnectorError as error:
        return Answer("Jira", ok=False, sentence=str(error))
    good = f"{who} may read the audit log of {site.host}{by}"
    return _compared(site, good) if site.cloud_id else Answer("Jira", ok=True, sentence=good)


def _compared(site: Site, good: str) -> Answer:
    """Whether a cloud id that is set is the site's own, as the site itself tells it."""
    try:
        told = wiring.gateway(replace(site, cloud_id=None)).cloud_id()
    except ConnectorError as error:
        unseen = f"; whether the cloud id is that of {site.host} could not be seen: {error}"
        return Answer("Jira", ok=True, sentence=good + unseen)
    if told == site.cloud_id:
        return Answer("Jira", ok=True, sentence=good)
    sentence = (
        f"the cloud id {site.cloud_id} is that of another site, whose records would come under the "
        f"name {site.host}: set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {told}"
    )
    return Answer("Jira", ok=False, sentence=sentence)


def _answer(part: Part, attempt: Callable[[], None], good: str) -> Answer:
    try:
        attempt()
    except ConnectorError as error:
        return Answer(part, ok=False, sentence=str(error))
    return Answer(part, ok=True, sentence=good)


def _send_nothing(to: Azure, stream: str) -> None:
    sink = wiring.sink(to)
    sink.prepare()
    try:
        sink.send(PROBE)
    except BatchRefused as error:
        message = (
            f"{error}, though there were none: see that LOGS_DCR_STREAM_NAME "
            f"({stream}) is a stream that the rule declares"
        )
        raise SiteError(message) from error
