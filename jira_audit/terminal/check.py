"""`check`: tests each part of an installation: settings, Jira, ingestion and storage.

Sends the smallest request that proves each part. Changes nothing, but creates a missing container,
as the first run would.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jira_audit import wiring
from jira_audit.core.errors import BatchRefused, ConnectorError, CredentialsRefused, SiteError
from jira_audit.flow.sending import PROBE
from jira_audit.settings.load import load
from jira_audit.settings.values import Azure, Settings, Site
from jira_audit.terminal.console import (
    SettingsFile,
    consoles,
    environment,
    exit_on_settings_error,
    logging_to,
    print_message,
    progress_line,
)

Part = Literal["settings", "Jira", "ingestion", "storage"]


@dataclass(frozen=True)
class CheckResult:
    """The result for one part. `sentence` says what works, or what to do."""

    part: Part
    ok: bool
    sentence: str


def command(settings_file: SettingsFile = None) -> None:
    """Check the setup: settings, Jira, ingestion and storage, each on its own.

    Sends an empty batch, which adds no row. Creates a missing container for checkpoints, as the
    first run would.
    """
    out, err = consoles()
    results = []
    with (
        logging_to(err, logging.CRITICAL),
        exit_on_settings_error(err),
        progress_line(out, err, lambda: "checking Jira, ingestion and storage"),
    ):
        for result in check_results(environment(settings_file)):
            _show(out, result)
            results.append(result)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _show(out: Console, result: CheckResult) -> None:
    mark, style = ("ok", "green") if result.ok else ("failed", "bold red")
    if not out.is_terminal:
        print_message(out, f"{mark:<6}  {result.part:<9}  {result.sentence}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=6)
    table.add_column(width=9)
    table.add_column()
    table.add_row(Text(mark, style), Text(result.part, "bold"), Text(result.sentence))
    out.print(table)


def check_results(environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check the parts independently; yields each result as soon as it is there.

    Raises SettingsError before any request; other foreseen errors are results.
    """
    return _results(load(environment, wiring.CLOCK.now()))


def _results(loaded: Settings) -> Iterator[CheckResult]:
    azure = loaded.azure
    if azure.ingestion is None:
        raise TypeError(azure)  # check loads all settings, and none for a folder
    sites = ", ".join(site.host for site in loaded.sites)
    name, rule = azure.ingestion.stream, azure.ingestion.rule
    stream = f"{name} of {rule}"
    yield CheckResult("settings", ok=True, sentence=f"complete: from {sites} to {stream}")
    for entry in loaded.invalid:
        yield CheckResult(
            "settings", ok=False, sentence=str(entry.error).removeprefix("settings: ")
        )
    for site in loaded.sites:
        yield _jira(site)
    yield _result("ingestion", lambda: _send_nothing(azure, name), f"accepts data for {stream}")
    container = f"the container {azure.storage.container} exists and can be written"
    yield _result("storage", lambda: wiring.probe_storage(azure), container)


def _jira(site: Site) -> CheckResult:
    """Whether the audit log can be read; tries the gateway if the site refuses the token."""
    holder = site.holder
    try:
        wiring.source(site).probe()
    except CredentialsRefused as refused:
        if site.gateway:
            return CheckResult("Jira", ok=False, sentence=str(refused))
        return _through_gateway(site, refused)
    except ConnectorError as error:
        return CheckResult("Jira", ok=False, sentence=str(error))
    route = " through Atlassian's gateway" if site.gateway else ""
    sentence = f"{holder} can read the audit log of {site.host}{route}"
    if site.cloud_id:
        return _compare_cloud_id(site, sentence)
    return CheckResult("Jira", ok=True, sentence=sentence)


def _through_gateway(site: Site, refused: CredentialsRefused) -> CheckResult:
    """Whether a refused token is a scoped one, which only the gateway accepts."""
    gateway = replace(site, gateway=True)
    try:
        wiring.source(gateway).probe()
    except ConnectorError as error:
        sentence = f"{refused} Tried through Atlassian's gateway as well: {error}"
        return CheckResult("Jira", ok=False, sentence=sentence)
    cloud_id = wiring.gateway(gateway).cloud_id()
    sentence = (
        f"the token of {site.holder} is scoped: {site.host} refuses it, Atlassian's "
        f"gateway accepts it. Set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return CheckResult("Jira", ok=False, sentence=sentence)


def _compare_cloud_id(site: Site, sentence: str) -> CheckResult:
    """Whether the cloud id in the settings is the site's own."""
    try:
        cloud_id = wiring.gateway(replace(site, cloud_id=None)).cloud_id()
    except ConnectorError as error:
        unchecked = f"; its cloud id could not be compared with that of {site.host}: {error}"
        return CheckResult("Jira", ok=True, sentence=sentence + unchecked)
    if cloud_id.lower() == (site.cloud_id or "").lower():
        return CheckResult("Jira", ok=True, sentence=sentence)
    wrong = (
        f"the cloud id {site.cloud_id} belongs to another site, whose records would be delivered "
        f"as those of {site.host}: set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return CheckResult("Jira", ok=False, sentence=wrong)


def _result(part: Part, attempt: Callable[[], None], sentence: str) -> CheckResult:
    try:
        attempt()
    except ConnectorError as error:
        return CheckResult(part, ok=False, sentence=str(error))
    return CheckResult(part, ok=True, sentence=sentence)


def _send_nothing(azure: Azure, stream: str) -> None:
    sink = wiring.sink(azure)
    sink.prepare()
    try:
        sink.send(PROBE)
    except BatchRefused as error:
        message = (
            f"{error}, though the batch was empty: LOGS_DCR_STREAM_NAME "
            f"({stream}) must be a stream that the rule declares"
        )
        raise SiteError(message) from error
