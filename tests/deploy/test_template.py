"""deploy/azuredeploy.json holds what `checks.py` asks of it, and fits the code it deploys."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from jira_audit.app import QUEUE_DISABLED
from jira_audit.core.errors import SettingsError
from jira_audit.core.policy import Policy
from jira_audit.settings.load import load
from jira_audit.settings.table import SETTINGS, Setting
from tests.deploy import arm, checks
from tests.frame.test_documents import ROOT, read_setting_names

HOSTS_OWN = {
    "AzureWebJobs.collect_site.Disabled",
    "AzureWebJobs.report_given_up.Disabled",
    "AzureWebJobs.report_unsaved.Disabled",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID",
}
"""What the Functions host reads, and our code does not."""

NOT_FOR_AZURE = {
    "AzureWebJobsStorage",  # a connection string: a shared key, which the account refuses
    "JiraAccessToken",  # aliases, for those who come from the old connector
    "JiraHomeSiteName",
    "JiraUsername",
}
SEVERAL = re.compile("JIRA_API_TOKEN_(ONE|[0-9]+)")
NOW = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)


def parameter_of(row: Setting) -> str:
    """The name of the parameter that answers a setting: `pollSchedule` of `POLL_SCHEDULE`."""
    first, *more = row.name.lower().split("_")
    return first + "".join(word.capitalize() for word in more)


@pytest.fixture(scope="module")
def template() -> checks.Template:
    return checks.load()


@pytest.mark.parametrize("name", checks.CHECKS)
def test_template_passes_the_check(name: str, template: checks.Template) -> None:
    assert checks.CHECKS[name](template) == []


def deploy(template: checks.Template, **given: Any) -> list[arm.Resource]:
    return arm.deploy(template, checks.ANSWERS | given)


def in_azure(app_settings: dict[str, str]) -> dict[str, str]:
    """The settings as the app sees them: with the vault's secrets, and what Azure fills in."""
    found = dict(app_settings)
    for name, value in found.items():
        if value.startswith("@Microsoft.KeyVault("):
            found[name] = "a secret"
    if "AUDIT_WORKSPACE_ID" in found:
        found["AUDIT_WORKSPACE_ID"] = "9a1f5b0e-7c56-4f5e-9d0e-2f4b8c6d7e8f"
    return found | {
        "AZURE_CLIENT_ID": "11111111-1111-1111-1111-111111111111",
        "AzureWebJobsStorage__clientId": "11111111-1111-1111-1111-111111111111",
        "DATA_COLLECTION_ENDPOINT": "https://rule-x1.northeurope-1.ingest.monitor.azure.com",
        "LOGS_DCR_RULE_ID": "dcr-0123456789abcdef0123456789abcdef",
        "IDENTITY_ENDPOINT": "http://127.0.0.1:41000/msi/token",
    }


def test_app_settings_are_those_of_the_code_and_the_host(
    template: checks.Template,
) -> None:
    own = {"hostingPlan": "premium", "packageUri": ""}
    (account,) = checks.of_type(deploy(template, **own), "Microsoft.Storage/storageAccounts")
    own["packageUri"] = f"https://{account.name}.blob.<storage suffix>/released-packages/p.zip"
    ways = [*checks.WAYS.values(), checks.ANSWERS | own]

    made = {name for way in ways for name in checks.app_settings(arm.deploy(template, way))}

    assert {name for name in made if not SEVERAL.match(name)} == (
        read_setting_names() - NOT_FOR_AZURE | HOSTS_OWN
    )


def test_app_settings_include_what_the_local_sample_needs(
    template: checks.Template,
) -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    made = checks.app_settings(deploy(template)) | checks.app_settings(
        deploy(template, hostingPlan="premium")
    )

    assert set(sample["Values"]) - {"AzureWebJobsStorage"} <= set(made)


@pytest.mark.parametrize("plan", ["flex", "premium"])
def test_app_settings_load_and_have_the_codes_defaults(
    plan: str, template: checks.Template
) -> None:
    made = in_azure(checks.app_settings(deploy(template, hostingPlan=plan)))
    if plan == "premium":
        made["AzureWebJobsStorage__blobServiceUri"] = "https://jira0.blob.core.usgovcloudapi.net"
        made["DATA_COLLECTION_ENDPOINT"] = "https://rule-x1.usgovvirginia-1.ingest.monitor.azure.us"

    loaded = load(made, NOW)

    assert loaded.policy == Policy(hosts=("contoso.atlassian.net",))
    assert loaded.budget_seconds == 480
    assert loaded.azure.managed_identity
    assert loaded.azure.lease_seconds == 60
    assert loaded.azure.ingestion
    assert loaded.azure.ingestion.stream == "Custom-Jira_Audit_CL"
    assert loaded.azure.ingestion.client_id == made["AZURE_CLIENT_ID"]
    assert [site.host for site in loaded.sites] == ["contoso.atlassian.net"]


def test_app_settings_load_for_every_choice_of_the_template(
    template: checks.Template,
) -> None:
    chosen = deploy(
        template,
        initialLookbackHours=720,
        overlapMinutes=30,
        sweepHours=72,
        timeGeneratedSource="created",
        runBudgetSeconds=540,
        leaseSeconds=15,
        checkpointContainer="audits",
        checkpointReset="2026-09-14T00:00:00Z",
        jiraTokenExpires="2027-03-31",
        jiraAllowedHostSuffixes="example.org",
        logsIngestionAudience="https://monitor.azure.com",
        pollSchedule="0 0 * * * *",
    )

    made = in_azure(checks.app_settings(chosen))
    loaded = load(made, NOW)

    assert (loaded.policy.lookback, loaded.policy.overlap, loaded.policy.sweep) == (
        720 * 3_600_000,
        30 * 60_000,
        72 * 3_600_000,
    )
    assert loaded.policy.event_time
    assert loaded.policy.reset
    assert (loaded.budget_seconds, loaded.azure.lease_seconds) == (540, 15)
    assert loaded.azure.storage.container == "audits"
    assert made["LOGS_INGESTION_AUDIENCE"] == "https://monitor.azure.com"


PARAMETERS = {
    parameter_of(row): row for row in SETTINGS if parameter_of(row) in checks.load()["parameters"]
}


@pytest.mark.parametrize("way", checks.WAYS)
def test_app_settings_load_for_every_way(way: str, template: checks.Template) -> None:
    made = in_azure(checks.app_settings(arm.deploy(template, checks.WAYS[way])))
    for name, value in made.items():
        made[name] = value.replace("<storage suffix>", "core.windows.net")

    assert load(made, NOW).invalid == ()


@pytest.mark.parametrize(("protected", "purge", "days"), [(True, True, 90), (False, None, 7)])
def test_vault_of_a_trial_can_be_purged(
    protected: bool, purge: bool | None, days: int, template: checks.Template
) -> None:
    """Azure takes no false there: on, or not said."""
    made = deploy(template, purgeProtection=protected)
    (vault,) = checks.of_type(made, "Microsoft.KeyVault/vaults")

    assert vault.body["properties"]["enablePurgeProtection"] is purge
    assert vault.body["properties"]["softDeleteRetentionInDays"] == days


@pytest.mark.parametrize(("cloud", "cards"), [("AzureCloud", 1), ("AzureChinaCloud", 0)])
def test_card_is_left_out_where_sentinel_is_not(
    cloud: str, cards: int, template: checks.Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm, "CLOUD", cloud)

    made = deploy(template)

    kind = "Microsoft.SecurityInsights/dataConnectorDefinitions"
    assert len(checks.of_type(made, kind)) == cards


def test_token_that_was_not_given_is_not_read() -> None:
    """Azure may work out the body of a resource whose condition is false."""
    entry = checks.WAYS["everything"]["jiraSites"][0]
    scope = arm.Scope({"jiraSites": [entry], "jiraSiteTokens": {}}, indices={"": 0})
    [secret] = [
        each
        for each in checks.load()["resources"]
        if each.get("copy", {}).get("name") == "siteTokens"
    ]

    assert scope.value(secret["condition"]) is False
    assert scope.value(secret["properties"]["value"]) == ""


@pytest.mark.parametrize("name", ["functionAppName", "keyVaultName"])
def test_empty_name_is_the_defaults(name: str, template: checks.Template) -> None:
    """The form sends an empty one: it cannot make the template's own."""
    sent = {each.id for each in deploy(template, **{name: ""})}

    assert sent == {each.id for each in deploy(template)}
    assert sent != {each.id for each in deploy(template, **{name: "mine"})}


def test_app_settings_include_every_default(template: checks.Template) -> None:
    made = checks.app_settings(deploy(template))

    defaults = {row.name: str(row.default) for row in SETTINGS if row.default is not None}
    assert {name: made.get(name) for name in defaults} == defaults


def test_parameters_exist_for_every_number_and_choice() -> None:
    names = {row.name for row in SETTINGS if row.kind in {"number", "choice"}}

    assert names <= {row.name for row in PARAMETERS.values()}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_takes_what_its_setting_takes(name: str, template: checks.Template) -> None:
    row, declared = PARAMETERS[name], template["parameters"][name]

    assert declared["type"] == (
        "securestring" if row.secret else {"number": "int", "list": "array"}.get(row.kind, "string")
    )
    if row.default is not None:
        assert declared["defaultValue"] == row.default
    elif "defaultValue" in declared:
        assert declared["defaultValue"] == ([] if row.kind == "list" else "")
    if row.kind == "number":
        assert (declared["minValue"], declared["maxValue"]) == (row.at_least, row.at_most)
    assert tuple(declared.get("allowedValues", ())) == row.choices


@pytest.mark.parametrize("name", [name for name, row in PARAMETERS.items() if row.kind == "number"])
def test_parameters_take_the_numbers_that_the_code_takes(
    name: str, template: checks.Template
) -> None:
    declared, setting = template["parameters"][name], PARAMETERS[name].name
    made = in_azure(checks.app_settings(deploy(template)))

    for bound, beyond in (("minValue", -1), ("maxValue", 1)):
        load(made | {setting: str(declared[bound])}, NOW)
        with pytest.raises(SettingsError, match=setting):
            load(made | {setting: str(declared[bound] + beyond)}, NOW)


def test_template_is_strict_json_without_duplicate_keys() -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
        return dict(pairs)

    text = checks.TEMPLATE.read_text(encoding="utf-8")

    assert json.loads(text, object_pairs_hook=once)["$schema"].endswith("deploymentTemplate.json#")


def test_page_says_why_each_resource_exists(
    template: checks.Template,
) -> None:
    page = (ROOT / "docs" / "azure-resources.md").read_text(encoding="utf-8")
    kinds = {each.type for each in deploy(template)} - {"Microsoft.Resources/deployments"}

    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in page] == []


def provider(template: checks.Template, sites: int, **given: Any) -> dict[str, str]:
    """The app settings with so many sites, their secrets resolved."""
    entries = checks.WAYS["a provider's sites"]["jiraSites"][:sites]
    one = {"jiraSiteUrl": "", "jiraUsername": "", "jiraApiToken": ""}
    return in_azure(checks.app_settings(deploy(template, jiraSites=entries, **one, **given)))


def test_app_settings_load_the_sites_given_to_the_template(template: checks.Template) -> None:
    loaded = load(provider(template, 12), NOW)

    assert loaded.invalid == ()
    assert [site.host for site in loaded.sites] == [f"customer{n}.atlassian.net" for n in range(12)]
    assert loaded.queue_above == 10
    assert loaded.sites[3].secret_setting == "JIRA_API_TOKEN_3"


@pytest.mark.parametrize(
    ("sites", "above", "disabled"), [(10, 10, True), (11, 10, False), (1, 0, False)]
)
def test_queue_functions_run_if_sites_exceed_one_run(
    sites: int, above: int, disabled: bool, template: checks.Template
) -> None:
    made = provider(template, sites, queueSitesAbove=above)

    functions = checks.functions() - {"poll"}
    assert {f"AzureWebJobs.{name}.Disabled" in made for name in functions} == {disabled}
    assert QUEUE_DISABLED[0] in {f"AzureWebJobs.{name}.Disabled" for name in functions}
    threads = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]["batchSize"]
    assert made.get("PYTHON_THREADPOOL_THREAD_COUNT") == (None if disabled else str(threads))
