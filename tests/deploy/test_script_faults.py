"""Faults that deploy.sh once had, put back one by one: the local Azure shows each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import needed
from tests.deploy import checks
from tests.deploy.local_azure import (
    GROUP,
    PACKAGE,
    REGION,
    WORKSPACE,
    Installer,
    answers_of_the_template,
    at_a_shell,
    deploy_until_it_works,
    everything,
    new_azure,
    only_app,
    put_classic_table,
    register_all,
    release_template,
    wait_for_a_run,
)
from tests.servers.azure.app import rebuilt
from tests.servers.azure.places import group_of
from tests.servers.azure.roles import Holding, Person

pytestmark = pytest.mark.servers

TEXT = checks.SCRIPT.read_text(encoding="utf-8")

Claim = Callable[[Installer], None]
"""What has to hold, of somebody with a script and a local Azure for it alone."""
Change = Callable[[str], str]
"""What puts a fault into the script."""


def replace(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert text.count(old) == 1, (text.count(old), old)
        return text.replace(old, new)

    return change


def cut(begin: str, end: str) -> tuple[str, str, str]:
    """The script in three: before, from `begin` up to `end`, and after."""
    before, _, rest = TEXT.partition(begin)
    middle, _, after = rest.partition(end)
    assert middle, begin
    assert after, end
    return before, begin + middle, end + after


def package_is_published_as_it_is(one: Installer) -> None:
    assert one.run("--no-wait").returncode == 0
    assert only_app(one.azure).package == PACKAGE


def late_role_is_waited_for(one: Installer) -> None:
    one.azure.role_delay *= 2
    assert one.run("--no-wait").returncode == 0


def late_reference_is_resolved(one: Installer) -> None:
    one.azure.role_delay *= 10
    assert one.run().returncode == 0


def first_run_is_seen_before_any_exception_was(one: Installer) -> None:
    one.azure.role_delay *= 0
    assert one.run().returncode == 0


def with_roles(one: Installer, *roles: str) -> None:
    """The documented roles, but for those on the workspace that are not named."""
    azure = one.azure
    azure.put_group(GROUP, REGION)
    register_all(azure)
    put_classic_table(azure)
    there = (Holding(role, group_of(WORKSPACE)) for role in roles)
    azure.person = Person((Holding("Owner", GROUP), *there))


def lack_of_the_cards_role_changes_nothing(one: Installer) -> None:
    with_roles(one, "Log Analytics Contributor")
    before = everything(one.azure)
    assert one.run("--migrate-table").returncode == 1
    assert everything(one.azure) == before


def lack_of_a_token_changes_nothing(one: Installer) -> None:
    with_roles(one, "Log Analytics Contributor", "Microsoft Sentinel Contributor")
    del one.environment["JIRA_API_TOKEN"]
    before = everything(one.azure)
    assert one.run("--migrate-table").returncode == 1
    assert everything(one.azure) == before


def new_version_is_what_has_run(one: Installer) -> None:
    one.azure.role_delay *= 0  # so that the version before runs, and well
    assert one.run("--no-wait").returncode == 0
    (one.folder / "package.zip").write_bytes(rebuilt(PACKAGE))
    done = one.run("--keep-token")
    assert (done.returncode, "has run" in done.stdout) == (1, False)


def package_that_is_given_is_the_only_one(one: Installer) -> None:
    one.azure.packages.clear()  # the release's address cannot be reached
    template = json.dumps(release_template())
    one.script.with_name("azuredeploy.json").write_text(template, encoding="utf-8")
    assert one.run("--no-wait").returncode == 0


def deleted_vault_is_seen_before_the_deployment(one: Installer) -> None:
    assert one.run("--no-wait").returncode == 0
    one.azure.delete_group(GROUP)
    done = one.run("--no-wait")
    assert done.returncode == 1
    assert not [each for each in one.azure.resources if each.startswith(f"{GROUP}/".lower())]
    assert "az keyvault recover --name" in done.stderr


def region_without_the_plan_changes_nothing(one: Installer) -> None:
    before = everything(one.azure)
    assert one.run("--location", "swedencentral").returncode == 1
    assert everything(one.azure) == before


def migrates_early(text: str) -> str:
    before, migration, after = cut('if [ -n "$classic" ]; then\n    rest', 'if [ -n "$missing" ]')
    assert text == TEXT
    early, _, late = before.partition("# What the caller may do, in every scope")
    return f"{early}{migration}# What the caller may do, in every scope{late}{after}"


def looks_at_no_card(text: str) -> str:
    """As it once was: nor did Azure validate the deployment before the migration."""
    before, _, after = cut("# Sentinel is not in Azure China any more", '[ "$(parameter audit')
    text = before + after
    return replace("az deployment group validate", "true")(text)


FAULTS: dict[str, tuple[Change, Claim]] = {
    "the package is built again": (
        replace(" \\\n            --build-remote false", ""),
        package_is_published_as_it_is,
    ),
    "a role is not waited for": (
        replace("if ((attempt == 30)) ||\n", "if ((attempt == 1)) ||\n"),
        late_role_is_waited_for,
    ),
    "a reference is not refreshed": (
        replace('rest --method post --uri "$references" >/dev/null', "true"),
        late_reference_is_resolved,
    ),
    "a table is expected that is not there yet": (
        replace("union isfuzzy=true (datatable", "union (datatable"),
        first_run_is_seen_before_any_exception_was,
    ),
    "the card's action is not looked at": (
        looks_at_no_card,
        lack_of_the_cards_role_changes_nothing,
    ),
    "the table is migrated early": (migrates_early, lack_of_a_token_changes_nothing),
    "a run of the version before counts": (
        lambda text: replace("    began=$(date", "    : $(date")(text).replace(
            'say "Deploying into', 'began=$(date -u +%Y-%m-%dT%H:%M:%SZ)\nsay "Deploying into'
        ),
        new_version_is_what_has_run,
    ),
    "the template fetches another package": (
        replace('if value or name == "packageUri":', "if value:"),
        package_that_is_given_is_the_only_one,
    ),
    "a deleted vault is not looked for": (
        replace('[ -z "$deleted" ] || refuse', "true || refuse"),
        deleted_vault_is_seen_before_the_deployment,
    ),
    "the region is not looked at": (
        replace('<<<"${regions// /}" || refuse', '<<<"${regions// /}" || true || refuse'),
        region_without_the_plan_changes_nothing,
    ),
}


def hold(claim: Claim, folder: Path, script: str) -> None:
    """Check a claim of a script, which lies in a folder of its own beside the template."""
    (folder / "deploy").mkdir(parents=True)
    (folder / "deploy" / "deploy.sh").write_text(script, encoding="utf-8")
    shutil.copy(checks.TEMPLATE, folder / "deploy")
    with at_a_shell(folder, new_azure(delay=2)) as installer:
        installer.script = folder / "deploy" / "deploy.sh"
        claim(installer)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_shown_by_the_local_azure(tmp_path: Path, name: str) -> None:
    needed(shutil.which("bash"), "bash is not installed")
    change, claim = FAULTS[name]

    hold(claim, tmp_path / "as it is", TEXT)
    with pytest.raises(AssertionError):
        hold(claim, tmp_path / "with the fault", change(TEXT))


def test_deployment_without_code_never_runs() -> None:
    """What the portal once called complete: the form asks for the package now."""
    azure = new_azure()
    deploy_until_it_works(azure, checks.load(), answers_of_the_template())

    with pytest.raises(AssertionError, match="no run succeeded"):
        wait_for_a_run(azure)
