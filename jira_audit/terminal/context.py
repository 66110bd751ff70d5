"""A command's settings, the sites it works on, and the consoles it writes to."""

from __future__ import annotations

import json
import logging
import os
import shlex
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console

from jira_audit import wiring
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.policy import Reset
from jira_audit.flow.ports import Ports
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.load import load, names_needed
from jira_audit.settings.table import EVERYTHING, Needs
from jira_audit.settings.values import Settings, Site
from jira_audit.terminal.console import consoles, exit_on_error, logging_to, print_message
from jira_audit.terminal.deployment import app_settings, resolve
from jira_audit.terminal.options import Place

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """A command's settings, and the consoles it writes to."""

    settings: Settings
    out: Console
    err: Console


@dataclass(frozen=True)
class SiteContext(Context):
    """A command's context for one site."""

    site: Site
    ports: Ports

    @property
    def host(self) -> str:
        """The site's host, which names it."""
        return self.site.host

    @property
    def pending_reset(self) -> Reset | None:
        """CHECKPOINT_RESET for this site, from the settings here."""
        return self.settings.policy_for(self.site).reset


@contextmanager
def context(place: Place, needs: Needs, hosts: Collection[str] = ()) -> Iterator[Context]:
    """Load the settings that the command `needs`, with all sites or only those of `hosts`.

    Prints a foreseen error within, and exits. Unless the command needs Jira, the sites in a folder
    count as set up.
    """
    out, err = consoles()
    with logging_to(err, logging.INFO), exit_on_error(err):
        settings = load_settings(place, needs)
        if "jira" not in needs:
            settings = _with_stored(settings, place)
        yield Context(only(settings, hosts), out, err)


@contextmanager
def site_context(place: Place, host: str | None, needs: Needs) -> Iterator[SiteContext]:
    """As `context`, for the site of this host; None: the only site. A failure names the site."""
    with context(place, needs) as ctx:
        site = _site(ctx.settings, host, _stored(place.folder) if place.folder else ())
        try:
            yield _at(ctx, site)
        except SettingsError:
            raise
        except ConnectorError as error:
            raise error.with_site(site.host) from error


def for_each_site(
    ctx: Context, work: Callable[[SiteContext], T]
) -> Iterator[tuple[str, T | ConnectorError]]:
    """Do the work for every site, side by side; yields its result or its foreseen failure.

    A wrong entry of JIRA_SITES is a failure of its site, and stops no other.
    """

    def attempt(site: Site) -> T | ConnectorError:
        try:
            return work(_at(ctx, site))
        except ConnectorError as error:
            return error.with_site(site.host)

    if len(ctx.settings.sites) == 1:  # on this thread, so that Ctrl-C interrupts it
        (site,) = ctx.settings.sites
        yield site.host, attempt(site)
    else:
        yield from _side_by_side(ctx.settings.sites, attempt)
    for entry in ctx.settings.invalid:
        yield entry.site, entry.error.with_site(entry.site)


def _side_by_side(sites: Sequence[Site], attempt: Callable[[Site], T]) -> Iterator[tuple[str, T]]:
    """Each site's result, in their order. An interrupt does not wait for the rest."""
    executor = ThreadPoolExecutor(wiring.MAX_CONCURRENT_SITES)
    try:
        attempts = [(site.host, executor.submit(attempt, site)) for site in sites]
        for host, each in attempts:
            yield host, each.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def of_stored(ctx: Context, place: Place) -> Context:
    """The context without sites that were not collected into the place's folder, if any was."""
    stored = _stored(place.folder) if place.folder else ()
    hosts = [site.host for site in ctx.settings.sites if site.host in stored]
    if not hosts:
        return ctx
    names = {*hosts, *(entry.site for entry in ctx.settings.invalid)}
    return replace(ctx, settings=ctx.settings.only(names))


@contextmanager
def listing(
    ctx: Context, work: Callable[[SiteContext], Sequence[T]], what: str
) -> Iterator[list[tuple[str, T]]]:
    """The items of every site, each with its site.

    On leaving, says if there are none of `what`, and why a site's are missing; then exits with 1.
    """
    items: list[tuple[str, T]] = []
    failures: list[ConnectorError] = []
    sites = 0
    for host, found in for_each_site(ctx, work):
        sites += 1
        if isinstance(found, ConnectorError):
            failures.append(found)
        else:
            items.extend((host, item) for item in found)
    if sites == 1 and failures:
        raise failures[0]
    yield items
    for failure in failures:
        print_message(ctx.err, str(failure))
    if not items:
        at = host if sites == 1 else f"{sites:,} sites"
        print_message(ctx.err, f"{at}: no {what}.")
    if failures:
        raise typer.Exit(ExitCode.FAILED)


def _at(ctx: Context, site: Site) -> SiteContext:
    ports = wiring.ports(ctx.settings.destination, site)
    return SiteContext(ctx.settings, ctx.out, ctx.err, site, ports)


def load_settings(place: Place, needs: Needs = EVERYTHING) -> Settings:
    """Load the settings of a place. Raises SettingsError."""
    known = environment(place, needs)
    if place.storage_account and "jira" not in needs:
        needs -= {"sites"}  # the account's contents name them
    return load(known, wiring.CLOCK.now(), place.folder, needs)


def _with_stored(settings: Settings, place: Place) -> Settings:
    """The settings, with the sites that are stored in a folder or account that was named."""
    if place.folder:
        hosts: Sequence[str] = _stored(place.folder)
        where, option = f"no site was collected into {place.folder}", "--folder"
    elif place.storage_account:
        hosts = wiring.stored_sites(settings)
        container = settings.azure.storage.container
        where = f"no site has a checkpoint in the container {container} of {place.storage_account}"
        option = "--storage-account"
    else:
        return settings
    settings = settings.with_stored(hosts)
    if not settings.sites and not settings.invalid:
        raise typer.BadParameter(where, param_hint=option)
    return settings


def only(settings: Settings, hosts: Collection[str]) -> Settings:
    """The settings with the sites of these names alone; of none: with all sites.

    Raises BadParameter for a name that is not set up.
    """
    names = {host if "[" in host else host.lower() for host in hosts}
    known = [site.host for site in settings.sites] + [entry.site for entry in settings.invalid]
    if names - set(known):
        message = f"name some of {', '.join(known)}"
        raise typer.BadParameter(message, param_hint="--site")
    return settings.only(names) if names else settings


def _stored(folder: Path) -> Sequence[str]:
    """The sites that were collected into a folder."""
    return wiring.local_places(folder)[0].sites()


def _site(settings: Settings, host: str | None, stored: Sequence[str]) -> Site:
    """The site of this host; without one, the only stored site, or the only site.

    Raises SettingsError for an invalid entry, and BadParameter if a site must be named.
    """
    name = host and host.lower()
    for entry in settings.invalid:
        if name == entry.site or not settings.sites:
            raise entry.error
    candidates = _candidates(settings, name, stored)
    if len(candidates) != 1:
        message = f"name one of {', '.join(site.host for site in settings.sites)}"
        raise typer.BadParameter(message, param_hint="--site")
    return candidates[0]


def _candidates(settings: Settings, name: str | None, stored: Sequence[str]) -> Sequence[Site]:
    """The possible sites; none if an invalid entry is possible as well."""
    if name:
        return [site for site in settings.sites if site.host == name]
    if settings.invalid:
        return []
    return [site for site in settings.sites if site.host in stored] or settings.sites


def environment(place: Place, needs: Needs) -> Mapping[str, str]:
    """The settings of a place, unchecked: the app's alone, or the process's environment.

    Raises SettingsError.
    """
    known = _of_app(place.app, place.resource_group, needs) if place.app else None
    if known is None:
        known = _of_process(place.settings_file)
    if place.storage_account is None:
        return known
    others = {name: known[name] for name in known if not name.startswith("AzureWebJobsStorage")}
    return others | {"AzureWebJobsStorage__accountName": place.storage_account}


def _of_app(app: str, group: str | None, needs: Needs) -> Mapping[str, str]:
    """The app's settings, with the secrets that are needed; says why one could not be read."""
    known = app_settings(app, group)
    failures: dict[str, str] = {}
    for names in ["JIRA_SITES"], names_needed(known, needs):  # the second may depend on the first
        known, more = resolve(known, names)
        failures |= more
    _, err = consoles()
    for name, reason in failures.items():
        print_message(err, f"WARNING {name}: its secret could not be read: {reason}")
    return known


def _of_process(settings_file: Path | None) -> Mapping[str, str]:
    """The process's environment, plus missing variables from a settings file.

    Changes the process's environment, as the Functions host does: Azure's libraries read it.
    """
    if settings_file:
        values = _values(settings_file)
        _warn_if_readable(settings_file)
        for name, value in values.items():
            if not os.environ.get(name):
                os.environ[name] = value
    return os.environ


def _warn_if_readable(file: Path) -> None:
    """Say if other users can read the file, which may hold secrets."""
    if sys.platform == "win32" or not file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    _, err = consoles()
    advice = f"run chmod 600 {shlex.quote(str(file))}"
    print_message(err, f"WARNING other users can read {file}, which may hold secrets: {advice}")


def _values(file: Path) -> Mapping[str, str]:
    """The Values of
    https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        values = content["Values"]
        if content.get("IsEncrypted") is True:
            raise SettingsError([f"--settings {file} is encrypted: run func settings decrypt"])
        if all(isinstance(value, str) for value in values.values()):
            return dict(values)
    except OSError as error:
        raise SettingsError([f"--settings {file} cannot be read: {error.strerror}"]) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise SettingsError(
        [f'--settings {file} must be JSON such as {{"Values": {{"NAME": "text"}}}}']
    )
