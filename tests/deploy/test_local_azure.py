"""From an empty subscription to a connector that runs, on a local Azure that behaves
(tests/servers/azure): by script, by a release's template, by the portal's form."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from jira_audit.simulator.records import sample_records
from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira
from tests.conftest import StartWorker, needed
from tests.deploy import checks
from tests.deploy.local_azure import (
    GROUP,
    REGION,
    SENTINEL,
    SUBSCRIPTION,
    TABLE,
    TOKEN,
    Installer,
    answers_of_the_form,
    answers_of_the_template,
    at_a_shell,
    deploy_template,
    deploy_until_it_works,
    everything,
    new_azure,
    only_app,
    put_classic_table,
    register_all,
    release_template,
    wait_for_a_run,
)
from tests.deploy.test_package import SITE_PACKAGES, checkout, package_file, wheels
from tests.deploy.test_roles import CONNECTOR, WATCHED, choices
from tests.end_to_end.conftest import now
from tests.servers import azurite
from tests.servers.azure.api import Fault
from tests.servers.azure.app import App
from tests.servers.azure.cloud import Azure
from tests.servers.azure.refusal import Refusal
from tests.servers.azure.roles import Holding, Person
from tests.servers.identity import Identity
from tests.servers.ingestion import Ingestion, RequestRefused

__all__ = ["checkout", "package_file", "wheels"]  # fixtures

pytestmark = pytest.mark.servers


@pytest.fixture
def installer(tmp_path: Path) -> Iterator[Installer]:
    needed(shutil.which("bash"), "bash is not installed")
    with at_a_shell(tmp_path, new_azure()) as one:
        yield one


# Rows arrive, from the published package, with the settings that the deployment made.


class GuardedIngestion(Ingestion):
    """Takes rows by the rules of the local Azure alone, once the app's role on them is in force."""

    azure: Azure

    def _admit(
        self, target: str, headers: Mapping[str, str], rule: str, stream: str
    ) -> Mapping[str, str]:
        if not self.azure.may_send(only_app(self.azure)):
            raise RequestRefused(403, "OperationFailed", "The identity lacks a role on the rule")
        self.rules = {
            each["properties"]["immutableId"]: {
                name: {column["name"]: column["type"] for column in declared["columns"]}
                for name, declared in each["properties"]["streamDeclarations"].items()
            }
            for each in self.azure.of_type("Microsoft.Insights/dataCollectionRules")
        }
        return super()._admit(target, headers, rule, stream)


@dataclass
class Reality:
    """What is not the local Azure's: Jira, storage, tokens, the ingestion service, the worker."""

    folder: Path
    jira_url: str
    storage: str
    authority: Path
    identity: Identity
    ingestion: GuardedIngestion
    start_worker: StartWorker

    def environment(self, app: App) -> dict[str, str]:
        """The deployment's own settings, but for storage: Azurite's address has a path, which an
        account's has not. How the identity writes blobs is tested in tests/edge/test_identity.py.
        """
        settings = {
            name: value
            for name, value in app.resolved.items()
            if not name.startswith("AzureWebJobsStorage__")
        }
        self.identity.client_ids = frozenset({settings["AZURE_CLIENT_ID"]})
        return {
            **settings,
            "AzureWebJobsStorage": self.storage,
            **self.identity.environment,
            "REQUESTS_CA_BUNDLE": str(self.authority),
            "NO_PROXY": "localhost,127.0.0.1",
        }

    def run(self, app: App) -> Any:
        """One tick of what was published."""
        root = self.folder / "wwwroot"
        (self.folder / "published.zip").write_bytes(app.package)
        with zipfile.ZipFile(self.folder / "published.zip") as archive:
            archive.extractall(root)
        # The app's packages come before the worker's:
        # https://github.com/Azure/azure-functions-python-worker/blob/dev/workers/proxy_worker/
        path = {"PYTHONPATH": str(root / SITE_PACKAGES)}
        return self.start_worker(root, self.environment(app) | path).invoke("poll")


@pytest.fixture
def reality(
    tmp_path: Path,
    authority: tuple[trustme.CA, Path],
    start_worker: StartWorker,
) -> Iterator[Reality]:
    needed(azurite.is_installed(), "Azurite is not installed: make setup")
    signer, path = authority
    site = FakeJira("auditor@example.com", TOKEN)
    site.add(sample_records(10, first_id=10_000, end_ms=now(), span_ms=60_000, seed=1))
    with (
        serve(site, clock_ms=now) as jira_url,
        Identity().serve() as identity,
        GuardedIngestion().serve(signer) as ingestion,
        azurite.run() as storage,
    ):
        assert isinstance(ingestion, GuardedIngestion)
        yield Reality(tmp_path, jira_url, storage, path, identity, ingestion, start_worker)


def by_script(azure: Azure, folder: Path, jira_url: str) -> None:
    with at_a_shell(folder, azure, azure.packages[checks.PACKAGE]) as installer:
        installer.jira_url = jira_url
        done = installer.run()
    assert done.returncode == 0, done.stderr
    assert "has run, and collects from now on" in done.stdout


def by_template(azure: Azure, folder: Path, jira_url: str) -> None:
    deploy_until_it_works(azure, release_template(), answers_of_the_template(jira_url))
    wait_for_a_run(azure)


def by_form(azure: Azure, folder: Path, jira_url: str) -> None:
    deploy_until_it_works(azure, checks.load(), answers_of_the_form(jira_url))
    wait_for_a_run(azure)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_rows_arrive_by_every_way_whenever_the_roles_are_in_force(
    reality: Reality, package_file: Path
) -> None:
    """Each way, with roles in force after 0, 2 and 20 minutes; equal results are run once."""
    package = package_file.read_bytes()
    results: dict[str, Azure] = {}
    for deploy in (by_script, by_template, by_form):
        for delay in (0, 2, 20):
            azure = new_azure(delay)
            azure.packages[checks.PACKAGE] = package
            azure.ingestion = reality.ingestion.endpoint
            deploy(azure, reality.folder, reality.jira_url)
            app = only_app(azure)
            assert app.package == package, (deploy, delay)
            results[json.dumps(app.resolved, sort_keys=True)] = azure

    for azure in results.values():
        reality.ingestion.azure = azure
        reality.ingestion.rows.clear()
        tick = reality.run(only_app(azure))
        assert tick.ok, tick.error
        assert len(reality.ingestion.rows) == 10
    assert [*reality.ingestion.undeclared, *reality.ingestion.mistyped] == []
    assert len(results) == 1  # the same names and settings, whichever way


@pytest.mark.long
@pytest.mark.timeout(300)
def test_package_that_azure_builds_again_has_no_function(
    reality: Reality, package_file: Path
) -> None:
    """The fault that deploy.sh avoids, as it would end."""
    azure = reality.ingestion.azure = new_azure()
    azure.packages[checks.PACKAGE] = package_file.read_bytes()
    template = release_template()
    [code] = [each for each in template["resources"] if "onedeploy" in each["name"]]
    code["properties"]["remoteBuild"] = True

    deploy_until_it_works(azure, template, answers_of_the_template(reality.jira_url))

    with pytest.raises(Exception, match=r"orjson"):
        reality.run(only_app(azure))
    azure.advance(timedelta(hours=1))
    assert only_app(azure).runs == []


# Cut off, and run again.


CHANGES = {
    "group create": "makes the group",
    "rest --method post --uri " + TABLE: "migrates the table",
    "rest --method put --uri " + TABLE: "adds columns",
    "deployment group create": "deploys",
    "functionapp deployment source config-zip": "publishes",
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    azure = new_azure()
    put_classic_table(azure)
    with at_a_shell(tmp_path_factory.mktemp("uninterrupted"), azure) as installer:
        assert installer.run("--migrate-table", "--no-wait").returncode == 0
    return everything(azure)


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES, ids=CHANGES.get)
def test_script_that_was_killed_after_a_change_goes_on_from_there(
    installer: Installer, uninterrupted: dict[str, Any], change: str
) -> None:
    """Before the next change is the same moment for Azure."""
    put_classic_table(installer.azure)
    installer.programs.cut = lambda line, moment: moment == "after" and line.startswith(change)

    killed = installer.run("--migrate-table")
    installer.programs.cut = lambda line, moment: False
    again = installer.run("--migrate-table", "--no-wait")

    assert killed.returncode < 0
    assert again.returncode == 0, again.stderr
    assert everything(installer.azure) == uninterrupted


@pytest.mark.parametrize("way", ["template", pytest.param("form", marks=pytest.mark.long)])
def test_deployment_that_failed_at_any_resource_is_deployed_again(way: str) -> None:
    template = release_template() if way == "template" else checks.load()
    answers = answers_of_the_template() if way == "template" else answers_of_the_form()
    whole = new_azure()
    written: list[str] = []
    whole.after_write = written.append
    deploy_until_it_works(whole, template, answers)
    assert len(written) > 30
    expected = everything(whole)

    for last in written:
        azure = new_azure()
        azure.put_group(GROUP, REGION)

        def fail(resource_id: str, last: str = last) -> None:
            if resource_id == last:
                raise Refusal(500, "InternalServerError", "Something went wrong")

        azure.after_write = fail
        with pytest.raises(Refusal):
            deploy_template(azure, template, answers)
        azure.after_write = lambda resource_id: None
        deploy_template(azure, template, answers)
        assert everything(azure) == expected, last


def test_script_waits_for_a_deployment_that_goes_on_by_itself(installer: Installer) -> None:
    """Interrupted with Ctrl-C, az ends and the deployment does not."""
    azure = installer.azure
    deployment = f"{GROUP}/providers/Microsoft.Resources/deployments/jira-audit"
    azure.deployments[deployment.lower()] = {"active_until": azure.now + timedelta(minutes=20)}

    done = installer.run()

    assert done.returncode == 0, done.stderr
    assert "is still being carried out; waiting for it" in done.stdout


# Who may deploy.


def person_with(connector: set[str], watched: set[str]) -> Person:
    return Person(
        tuple(Holding(role, GROUP) for role in sorted(connector))
        + tuple(Holding(role, SENTINEL) for role in sorted(watched))
    )


DOCUMENTED = [(one, other) for one in choices(CONNECTOR) for other in choices(WATCHED)]
"""Each set of roles that deploy/README.md calls enough: on the connector's group, and on the
workspace's."""

ONE_LESS = [
    pytest.param(connector - {role}, watched - {role}, id=f"without {role}")
    for connector, watched in DOCUMENTED[-1:]
    for role in sorted(connector | watched)
]


@pytest.mark.parametrize(("connector", "watched"), DOCUMENTED)
def test_person_with_the_documented_roles_deploys(
    installer: Installer, connector: set[str], watched: set[str]
) -> None:
    azure = installer.azure
    azure.put_group(GROUP, REGION)
    register_all(azure)
    put_classic_table(azure)
    azure.person = person_with(connector, watched)

    done = installer.run("--migrate-table")

    assert done.returncode == 0, done.stderr
    assert "collects from now on" in done.stdout


@pytest.mark.parametrize(("connector", "watched"), ONE_LESS)
def test_person_with_one_role_less_is_refused_before_any_change(
    installer: Installer, connector: set[str], watched: set[str]
) -> None:
    azure = installer.azure
    azure.put_group(GROUP, REGION)
    register_all(azure)
    put_classic_table(azure)
    azure.person = person_with(connector, watched)
    before = everything(azure)

    done = installer.run("--migrate-table")

    assert done.returncode == 1
    assert everything(azure) == before
    assert "deployment group validate" not in " ".join(installer.programs.calls)  # the script's own


@pytest.mark.parametrize(("connector", "watched"), ONE_LESS)
def test_template_of_a_person_with_one_role_less_is_refused(
    connector: set[str], watched: set[str]
) -> None:
    """Azure looks at what it knows before it begins. The identity's roles stand in nested
    deployments that wait for the identity: for want of the right to assign them, a template alone
    fails half-way. That is why deploy.sh looks first.
    """
    azure = new_azure()
    azure.put_group(GROUP, REGION)
    register_all(azure)
    azure.person = person_with(connector, watched)
    before = everything(azure)

    with pytest.raises(Refusal) as refused:
        deploy_template(azure, release_template(), answers_of_the_template())

    assert "does not have authorization" in str(refused.value.body)
    half_way = "Role Based Access Control Administrator" not in connector
    assert (everything(azure) != before) is (half_way and connector != set())


def test_providers_that_the_caller_may_not_register_are_named(installer: Installer) -> None:
    azure = installer.azure
    azure.put_group(GROUP, REGION)
    reader = Holding("Reader", f"/subscriptions/{SUBSCRIPTION}")
    azure.person = Person((*person_with(*DOCUMENTED[-1]).holdings, reader))
    before = everything(azure)

    done = installer.run()

    assert done.returncode == 1
    assert everything(azure) == before
    assert "az provider register --wait --namespace Microsoft.KeyVault" in done.stderr
    assert "Microsoft.OperationalInsights" not in done.stderr  # the workspace is there


# Throttling and errors of Azure's own.


def test_calls_that_azure_could_not_answer_are_made_again(installer: Installer) -> None:
    put_classic_table(installer.azure)
    reads = ("GET *", "GET */tables", "GET */permissions", "POST */validate", "POST */query")
    changes = ("POST */migrate", "PUT */tables/*", "PUT */deployments/*")
    statuses = itertools.cycle((429, 500, 503))
    installer.programs.commands.api.faults.extend(map(Fault, reads + changes, statuses))

    done = installer.run("--migrate-table")

    assert done.returncode == 0, done.stderr
    assert installer.programs.commands.api.faults == []
