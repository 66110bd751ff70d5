"""That settings are read as documented, that every wrong one is named together with what would be
right, and that no setting sends credentials astray.
"""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import date
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient
from urllib3.util import parse_url

from jira_audit import app
from jira_audit.core import timestamps
from jira_audit.core.errors import SettingsError
from jira_audit.core.policy import Policy, Reset
from jira_audit.core.schedule import PollSchedule
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.load import load
from jira_audit.settings.table import (
    EVERYTHING,
    LONGEST_BUDGET_SECONDS,
    SETTINGS,
    STORED,
    Part,
    Setting,
)
from jira_audit.settings.values import (
    ApiToken,
    Azure,
    Ingestion,
    LocalFolder,
    Secret,
    Settings,
    Site,
    Storage,
)
from tests.conftest import NetworkRefused

NOW = timestamps.parse("2026-11-20T12:00:00Z")
CLOUD_ID = "12345678-abcd-4bcd-8bcd-1234567890ab"
TOKEN = "ATATT3xFfGF0-nobody-may-see-this=1A2B3C4D"
ACCOUNT_KEY = "bm9ib2R5LW1heS1zZWUtdGhpcy1rZXk="
CONNECTION = (
    f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={ACCOUNT_KEY};"
    "EndpointSuffix=core.windows.net"
)
VAULT = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/jira)"

MINIMAL: Mapping[str, str] = {
    "JIRA_SITE_URL": "https://contoso.atlassian.net",
    "JIRA_USERNAME": "auditor@example.com",
    "JIRA_API_TOKEN": TOKEN,
    "DATA_COLLECTION_ENDPOINT": "https://rule-abcd.westeurope-1.ingest.monitor.azure.com",
    "LOGS_DCR_RULE_ID": "dcr-0123456789abcdef",
    "AzureWebJobsStorage": CONNECTION,
}


def environment(**changes: str | None) -> dict[str, str]:
    """The least that works, with changes; None takes a setting away."""
    changed = {**MINIMAL, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def settings_with(**changes: str | None) -> Settings:
    return load(environment(**changes), NOW)


def azure(**changes: str | None) -> Azure:
    return settings_with(**changes).azure


def ingestion(**changes: str | None) -> Ingestion:
    found = azure(**changes).ingestion
    assert found
    return found


def problems(**changes: str | None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        settings_with(**changes)
    return raised.value.problems


def problem(name: str, value: str | None) -> str:
    """The one problem of one wrong setting; it begins with the setting's name."""
    (found,) = problems(**{name: value})
    assert found.startswith(f"{name} ")
    return found


# Defaults and valid values


def test_defaults_are_those_documented() -> None:
    assert settings_with() == Settings(
        sites=(
            Site(
                "contoso.atlassian.net",
                "https://contoso.atlassian.net",
                ApiToken("auditor@example.com", Secret(TOKEN)),
            ),
        ),
        invalid=(),
        destination=Azure(
            Ingestion(
                "https://rule-abcd.westeurope-1.ingest.monitor.azure.com",
                "dcr-0123456789abcdef",
                "Custom-Jira_Audit_CL",
                "https://monitor.azure.com",
                client_id=None,
            ),
            Storage("jira-audit", Secret(CONNECTION)),
            "https://api.loganalytics.io",
            lease_seconds=60,
            send_seconds=Policy.send_seconds,
            managed_identity=False,
        ),
        policy=Policy(
            lookback=24 * HOUR,
            overlap=15 * MINUTE,
            sweep=48 * HOUR,
            event_time=False,
            reset=None,
            hosts=("contoso.atlassian.net",),
        ),
        reset_site=None,
        budget_seconds=480,
    )


def test_values_that_are_blank_count_as_unset() -> None:
    blank = dict.fromkeys(
        (
            *("JIRA_SITES", "JIRA_CLOUD_ID", "JIRA_OAUTH_CLIENT_ID", "JIRA_OAUTH_CLIENT_SECRET"),
            *("LOGS_DCR_STREAM_NAME", "LOGS_INGESTION_AUDIENCE", "AZURE_CLIENT_ID"),
            *("CHECKPOINT_CONTAINER", "CHECKPOINT_RESET", "POLL_SCHEDULE", "LEASE_SECONDS"),
            "AUDIT_WORKSPACE_ID",
            *("INITIAL_LOOKBACK_HOURS", "OVERLAP_MINUTES", "SWEEP_HOURS", "RUN_BUDGET_SECONDS"),
            *("JIRA_ALLOWED_HOST_SUFFIXES", "JIRA_TOKEN_EXPIRES", "TIME_GENERATED_SOURCE"),
            "IDENTITY_ENDPOINT",
        ),
        "  ",
    )
    assert settings_with(**blank) == settings_with()


def test_values_are_stripped_of_space() -> None:
    assert (
        settings_with(**{name: f" {value}\n" for name, value in MINIMAL.items()}) == settings_with()
    )


@pytest.mark.parametrize(
    ("name", "field", "unit", "least", "most"),
    [
        ("INITIAL_LOOKBACK_HOURS", "lookback", HOUR, 1, 8784),
        ("OVERLAP_MINUTES", "overlap", MINUTE, 1, 1440),
        ("SWEEP_HOURS", "sweep", HOUR, 1, 744),
    ],
)
def test_numbers_for_reading_back_have_bounds(
    name: str, field: str, unit: int, least: int, most: int
) -> None:
    for value in (least, most):
        assert getattr(settings_with(**{name: str(value)}).policy, field) == value * unit
    for wrong in (least - 1, most + 1):
        assert problem(name, str(wrong)) == f"{name} must be a whole number from {least} to {most}"


@pytest.mark.parametrize(
    ("name", "least", "most"), [("RUN_BUDGET_SECONDS", 10, 540), ("LEASE_SECONDS", 15, 60)]
)
def test_numbers_of_seconds_have_bounds(name: str, least: int, most: int) -> None:
    def taken(text: str) -> int:
        loaded = settings_with(**{name: text})
        return loaded.azure.lease_seconds if name == "LEASE_SECONDS" else loaded.budget_seconds

    assert [taken(str(value)) for value in (least, most)] == [least, most]
    for wrong in (least - 1, most + 1):
        assert problem(name, str(wrong)) == f"{name} must be a whole number from {least} to {most}"


@pytest.mark.parametrize(
    "text", ["ten", "-20", "+20", "20.0", "2e1", "0x14", "٢٠", "20 s", "1_5", "²", "9" * 5000]
)
def test_numbers_are_digits_only(text: str) -> None:
    problem("LEASE_SECONDS", text)


def test_numbers_with_leading_zeros_obey_their_bounds() -> None:
    assert azure(LEASE_SECONDS="060").lease_seconds == 60
    problem("LEASE_SECONDS", "0000000601")


def test_run_budget_is_at_most_the_hosts_timeout_less_a_minute() -> None:
    host = json.loads((Path(__file__).parents[2] / "host.json").read_text(encoding="utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    timeout = (hours * 60 + minutes) * 60 + seconds
    assert timeout - 60 == LONGEST_BUDGET_SECONDS


@pytest.mark.parametrize(("lease", "send"), [(15, 10.0), (30, 20.0), (60, 30.0)])
def test_lease_outlasts_every_send(lease: int, send: float) -> None:
    loaded = settings_with(LEASE_SECONDS=str(lease))
    assert loaded.azure.send_seconds == pytest.approx(send)
    assert loaded.policy.send_seconds == loaded.azure.send_seconds < lease


def test_time_generated_can_be_the_time_of_the_event() -> None:
    assert settings_with(TIME_GENERATED_SOURCE="created").policy.event_time
    assert not settings_with(TIME_GENERATED_SOURCE="ingestion").policy.event_time
    for wrong in ("Created", "event", "created,ingestion"):
        assert "ingestion or created" in problem("TIME_GENERATED_SOURCE", wrong)


def test_token_expiry_is_a_date() -> None:
    assert settings_with(JIRA_TOKEN_EXPIRES="2027-03-31").sites[0].token_expires == date(
        2027, 3, 31
    )
    for wrong in ("31.03.2027", "2027-02-30", "2027-03", "soon", "2027-03-31T00:00:00Z"):
        assert "2027-03-31" in problem("JIRA_TOKEN_EXPIRES", wrong)


@pytest.mark.parametrize("schedule", ["0 */5 * * * *", "30 0,20,40 8-18 * * 1-5", "0  0 3 * * *"])
def test_schedule_has_six_fields(schedule: str) -> None:
    assert settings_with(POLL_SCHEDULE=schedule).schedule == PollSchedule.parse(schedule)


@pytest.mark.parametrize("wrong", ["*/5 * * * *", "0 */5 * * * * *", "00:05:00", "daily"])
def test_schedule_of_another_form_is_refused(wrong: str) -> None:
    assert "six fields" in problem("POLL_SCHEDULE", wrong)


def test_schedule_out_of_range_names_the_field() -> None:
    said = problem("POLL_SCHEDULE", "0 */5 24 * * *")

    assert "is wrong: hour must be 0 to 23, not '24'" in said


def test_identity_and_its_client_id_are_the_apps() -> None:
    there = azure(IDENTITY_ENDPOINT="http://127.0.0.1:4141/msi/token", AZURE_CLIENT_ID="1234")
    assert there.managed_identity
    assert there.ingestion
    assert there.ingestion.client_id == there.client_id == "1234"
    assert not azure().managed_identity


@pytest.mark.parametrize("rule", ["rule-jira", "0123", "dcr-", "dcr-1/streams", "dcr-1?x", "DCR-1"])
def test_rule_is_given_by_its_immutable_id(rule: str) -> None:
    assert "immutable id" in problem("LOGS_DCR_RULE_ID", rule)


@pytest.mark.parametrize("stream", ["Jira_Audit_CL", "Custom-", "Custom-a/../b", "Custom-a?b"])
def test_stream_begins_with_custom_and_is_one_path_segment(stream: str) -> None:
    assert "must begin with Custom-" in problem("LOGS_DCR_STREAM_NAME", stream)


def test_stream_can_have_another_name() -> None:
    assert ingestion(LOGS_DCR_STREAM_NAME="Custom-Other_CL").stream == "Custom-Other_CL"


# What is required, and under which names


@pytest.mark.parametrize("name", MINIMAL)
def test_required_settings_that_are_missing_are_named(name: str) -> None:
    assert re.match(rf"{name} is missing: set it to .", problem(name, None))


def test_alias_of_the_old_connector_works() -> None:
    old = settings_with(
        JIRA_SITE_URL=None,
        JIRA_USERNAME=None,
        JIRA_API_TOKEN=None,
        JiraHomeSiteName="Contoso",
        JiraUsername="auditor@example.com",
        JiraAccessToken=TOKEN,
    )
    assert old == settings_with()


def test_alias_gives_way_to_the_new_name() -> None:
    both = settings_with(JiraHomeSiteName="other", JiraUsername="other", JiraAccessToken="other")
    assert both == settings_with()


def test_needs_of_a_folder_include_nothing_of_azure(tmp_path: Path) -> None:
    needed = {name: value for name, value in MINIMAL.items() if name.startswith("JIRA_")}
    assert load(needed, NOW, tmp_path) == replace(
        settings_with(), destination=LocalFolder(tmp_path)
    )


def test_a_local_folder_has_no_settings_of_azure(tmp_path: Path) -> None:
    settings = replace(settings_with(), destination=LocalFolder(tmp_path))
    with pytest.raises(TypeError):
        _ = settings.azure


STORAGE_BY_NAME = {
    "JIRA_SITE_URL": MINIMAL["JIRA_SITE_URL"],
    "AzureWebJobsStorage__accountName": "contoso",
}


def test_needs_of_stored_checkpoints_are_site_and_storage() -> None:
    loaded = load(STORAGE_BY_NAME, NOW, needs=STORED)

    (site,) = loaded.sites
    assert (site.host, site.credentials) == ("contoso.atlassian.net", None)
    assert loaded.azure.ingestion is None
    assert loaded.azure.storage.account == "https://contoso.blob.core.windows.net"
    assert loaded.policy == settings_with().policy


@pytest.mark.parametrize(
    ("endpoint", "blobs"),
    [
        ("https://rule.region.ingest.monitor.azure.us", "blob.core.usgovcloudapi.net"),
        ("https://rule.region.ingest.monitor.azure.cn/ ", "blob.core.chinacloudapi.cn"),
        ("https://evil.com/.ingest.monitor.azure.us", "blob.core.windows.net"),
        ("https://[", "blob.core.windows.net"),
        (VAULT, "blob.core.windows.net"),
    ],
)
def test_needs_of_storage_alone_follow_the_endpoints_cloud(endpoint: str, blobs: str) -> None:
    there = {**STORAGE_BY_NAME, "DATA_COLLECTION_ENDPOINT": endpoint}

    destination = load(there, NOW, needs=STORED).azure

    assert destination.storage.account == f"https://contoso.{blobs}"


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
@pytest.mark.parametrize("value", [VAULT, "<yours>", "ATATT\ud83d"])
def test_needs_leave_other_settings_unchecked(row: Setting, value: str) -> None:
    every: list[Part] = ["sites", "jira", "ingestion", "storage", "run"]
    for part in every:
        needs = frozenset({part})
        read = SettingsReader({row.name: value}, needs)
        text = read.text(row.name)
        is_read = part in row.parts
        assert (text is not None or read.problems != []) == is_read


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_needs_are_stated_by_part(name: str, tmp_path: Path) -> None:
    without = environment(**{name: None})
    (row,) = [row for row in SETTINGS if row.name == name]
    (part,) = row.parts

    with pytest.raises(SettingsError) as raised:
        load(without, NOW, needs=frozenset({part}) | STORED)
    assert [problem.split()[0] for problem in raised.value.problems] == [name]
    load(without, NOW, tmp_path if part == "storage" else None, EVERYTHING - row.parts)


def test_needs_of_a_folder_ignore_what_is_set(tmp_path: Path) -> None:
    wrong = {row.name: VAULT for row in SETTINGS}

    loaded = load(wrong, NOW, tmp_path, STORED)

    assert (loaded.sites, loaded.invalid) == ((), ())
    assert loaded.destination == LocalFolder(tmp_path)
    assert loaded.policy == Policy()


def test_needs_include_a_whole_entry_without_its_secret() -> None:
    whole = {"url": "https://jira.contoso.com", "username": "a@b", "api_token_setting": "TOKEN"}
    entries = [whole, {**whole, "url": "contoso", "api_token_setting": ""}, {**whole, "x": "y"}]
    there = {**STORAGE_BY_NAME, "JIRA_SITE_URL": "", "JIRA_SITES": json.dumps(entries)}

    loaded = load(there, NOW, needs=STORED)

    (site,) = loaded.sites
    assert (site.host, site.credentials) == ("jira.contoso.com", None)
    assert site.secret_setting == "TOKEN"
    problems = [problem for entry in loaded.invalid for problem in entry.error.problems]
    assert [problem.split(" is ")[0] for problem in problems] == [
        "JIRA_SITES[2]: api_token_setting",
        "JIRA_SITES[3]: x",
    ]
    assert load({**there, "TOKEN": VAULT}, NOW, needs=STORED).sites == loaded.sites


def test_problems_are_reported_together_each_with_its_setting() -> None:
    wrong = {
        "JIRA_SITE_URL": "http://contoso.atlassian.net",
        "JIRA_USERNAME": "a:b",
        "JIRA_API_TOKEN": None,
        "JIRA_TOKEN_EXPIRES": "soon",
        "DATA_COLLECTION_ENDPOINT": "rule.ingest.monitor.azure.com",
        "LOGS_DCR_RULE_ID": "jira",
        "LOGS_DCR_STREAM_NAME": "jira",
        "LOGS_INGESTION_AUDIENCE": "azure",
        "AzureWebJobsStorage": "contoso",
        "CHECKPOINT_CONTAINER": "Jira",
        "CHECKPOINT_RESET": "yesterday",
        "POLL_SCHEDULE": "often",
        "INITIAL_LOOKBACK_HOURS": "0",
        "OVERLAP_MINUTES": "0",
        "SWEEP_HOURS": "0",
        "RUN_BUDGET_SECONDS": "541",
        "LEASE_SECONDS": "61",
        "TIME_GENERATED_SOURCE": "none",
    }
    found = problems(**wrong)
    assert sorted(each.split(" ")[0] for each in found) == sorted(wrong)


def test_problems_are_all_in_the_errors_text() -> None:
    with pytest.raises(SettingsError) as raised:
        load({}, NOW)
    assert len(raised.value.problems) == len(MINIMAL)
    assert all(each in str(raised.value) for each in raised.value.problems)


# Placeholders

PLACEHOLDER = "is still an example's placeholder: set your own value"


@pytest.mark.parametrize("name", [*MINIMAL, "JIRA_CLOUD_ID", "AZURE_CLIENT_ID", "POLL_SCHEDULE"])
@pytest.mark.parametrize("value", ["<your value>", "https://<name>.example", "a <b>", "<>", "…"])
def test_placeholder_is_refused_in_every_setting(name: str, value: str) -> None:
    assert problem(name, value) == f"{name} {PLACEHOLDER}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOGS_DCR_RULE_ID", f"dcr-{'0' * 32}"),
        ("LOGS_DCR_RULE_ID", "dcr-0000"),
        ("LOGS_DCR_RULE_ID", "dcr-00000000-0000-0000-0000-000000000000"),
        ("JIRA_CLOUD_ID", "00000000-0000-0000-0000-000000000000"),
        ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_placeholder_of_zeros_is_refused(name: str, value: str) -> None:
    assert problem(name, value) == f"{name} {PLACEHOLDER}"


def test_placeholder_under_an_alias_is_named_by_it() -> None:
    (found,) = problems(JIRA_API_TOKEN=None, JiraAccessToken="<token>")
    assert found == f"JiraAccessToken {PLACEHOLDER}"


def test_placeholders_in_the_local_sample_are_refused() -> None:
    path = Path(__file__).parents[2] / "local.settings.sample.json"
    sample = json.loads(path.read_text(encoding="utf-8"))["Values"]
    own = [name for name in MINIMAL if name != "AzureWebJobsStorage"]

    with pytest.raises(SettingsError) as raised:
        load(sample, NOW)
    assert sorted(raised.value.problems) == sorted(f"{name} {PLACEHOLDER}" for name in own)

    filled = {**sample, **{name: MINIMAL[name] for name in own}}
    assert load(filled, NOW).sites == settings_with().sites


def test_placeholder_in_an_entry_fails_that_entry_alone() -> None:
    sound = {"url": MINIMAL["JIRA_SITE_URL"], "username": "a@b", "api_token_setting": "TOKEN"}
    one = dict.fromkeys(("JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"))
    for key, value in (("url", "https://<your site>.atlassian.net"), ("username", "<e-mail>")):
        loaded = settings_with(
            **one, JIRA_SITES=json.dumps([sound, {**sound, key: value}]), TOKEN=TOKEN
        )

        assert [site.host for site in loaded.sites] == ["contoso.atlassian.net"]
        assert [each.error.problems for each in loaded.invalid] == [
            (f"JIRA_SITES[2]: {key} {PLACEHOLDER}",)
        ]


def test_reset_suffix_may_be_any_text() -> None:
    assert settings_with(CHECKPOINT_RESET="all#<second try>…").policy.reset is not None


WORKSPACE = "0A0B0C0D-1111-2222-3333-444455556666"


def test_audit_workspace_is_a_guid_in_either_case() -> None:
    assert settings_with().azure.audit_workspace is None
    assert settings_with(AUDIT_WORKSPACE_ID=WORKSPACE).azure.audit_workspace == WORKSPACE
    for wrong in ("my-workspace", f"/subscriptions/{WORKSPACE}", WORKSPACE[:-1]):
        assert "not its name or resource id" in problem("AUDIT_WORKSPACE_ID", wrong)


@pytest.mark.parametrize("user", ["a:b", "auditor@example.com:"])
def test_username_with_a_colon_is_refused(user: str) -> None:
    assert "colon" in problem("JIRA_USERNAME", user)


@pytest.mark.parametrize(
    "name",
    [
        *MINIMAL,
        *("JIRA_SITES", "JIRA_OAUTH_CLIENT_SECRET", "JIRA_CLOUD_ID", "JIRA_TOKEN_EXPIRES"),
        *("JIRA_ALLOWED_HOST_SUFFIXES", "LOGS_DCR_STREAM_NAME", "LOGS_INGESTION_AUDIENCE"),
        *("CHECKPOINT_CONTAINER", "CHECKPOINT_RESET", "POLL_SCHEDULE", "LEASE_SECONDS"),
        *("INITIAL_LOOKBACK_HOURS", "RUN_BUDGET_SECONDS", "TIME_GENERATED_SOURCE"),
        *("AZURE_CLIENT_ID", "AUDIT_WORKSPACE_ID"),
    ],
)
def test_reference_that_did_not_resolve_is_a_problem(name: str) -> None:
    found = problem(name, VAULT)
    assert "did not resolve" in found
    assert "Key Vault Secrets User" in found
    assert "have Azure resolve it again" in found
    assert "contoso.vault" not in found


def test_problems_name_a_shared_setting_once() -> None:
    (found,) = problems(
        AZURE_CLIENT_ID=VAULT,
        AzureWebJobsStorage=None,
        AzureWebJobsStorage__accountName="contoso",
    )
    assert found.startswith("AZURE_CLIENT_ID ")


def test_reference_for_the_client_id_hides_no_missing_storage() -> None:
    found = problems(AzureWebJobsStorage=None, AzureWebJobsStorage__clientId=VAULT)
    assert [each.split()[0] for each in found] == [
        "AzureWebJobsStorage__clientId",
        "AzureWebJobsStorage",
    ]


def test_reference_under_an_alias_is_named_by_it() -> None:
    (found,) = problems(JIRA_API_TOKEN=None, JiraAccessToken=VAULT)
    assert found.startswith("JiraAccessToken is a Key Vault reference that did not resolve")


# Where credentials may go: Jira


@pytest.mark.parametrize(
    ("url", "host", "base_url"),
    [
        ("https://contoso.atlassian.net/", "contoso.atlassian.net", None),
        ("https://contoso.atlassian.net", "contoso.atlassian.net", None),
        ("HTTPS://Contoso.Atlassian.NET", "contoso.atlassian.net", None),
        ("https://contoso.jira.com", "contoso.jira.com", None),
        ("https://contoso.atlassian-us-gov-mod.net", "contoso.atlassian-us-gov-mod.net", None),
        ("contoso", "contoso.atlassian.net", None),
        (
            "https://contoso.atlassian.net:443",
            "contoso.atlassian.net",
            "https://contoso.atlassian.net:443",
        ),
        ("http://127.0.0.1:8080", "127.0.0.1", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "localhost", "http://localhost:8080"),
        ("http://[::1]:8080", "::1", "http://[::1]:8080"),
    ],
)
def test_site_is_named_by_its_lower_case_host(url: str, host: str, base_url: str | None) -> None:
    (site,) = settings_with(JIRA_SITE_URL=url).sites
    assert (site.host, site.base_url) == (host, base_url or f"https://{host}")


NO_SITE = [
    "https://evil.com",
    "https://atlassian.net.evil.com",
    "https://contoso.atlassian.net.evil.com",
    "https://evilatlassian.net",
    "https://contoso.atlassian.net.",
    "https://contoso.atlassian.com",
    "https://api.atlassian.com/ex/jira/1234",
    # http is for loopback.
    "http://contoso.atlassian.net",
    "http://127.0.0.1.evil.com",
    "http://localhost.evil.com",
    "http://0x7f000001",
    "http://[::1].evil.com",
    "http://[::1%25eth0]",
    "ftp://contoso.atlassian.net",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//contoso.atlassian.net",
    "contoso.atlassian.net",
    "https:contoso.atlassian.net",
    # More than a host.
    "https://evil.com/.atlassian.net",
    "https://evil.com?.atlassian.net",
    "https://evil.com#.atlassian.net",
    "https://evil.com\\.atlassian.net",
    "https://evil.com\\@contoso.atlassian.net",
    "https://evil.com;.atlassian.net",
    "https://evil.com%2f.atlassian.net",
    "https://evil.com%00.atlassian.net",
    "https://evil.com .atlassian.net",
    "https://evil.com\t.atlassian.net",
    "https://contoso.atlassian.net/jira",
    "https://contoso.atlassian.net?",
    "https://contoso.atlassian.net#",
    "https://contoso.atlassian.net/?next=https://evil.com",
    "https://evil.com@contoso.atlassian.net",
    "https://contoso.atlassian.net@evil.com",
    "https://user:secret@contoso.atlassian.net",
    "https://@contoso.atlassian.net",
    # Ports that are none.
    "https://contoso.atlassian.net:",
    "https://contoso.atlassian.net:70000",
    "https://contoso.atlassian.net:-1",
    "https://contoso.atlassian.net:443:80",
    "https://contoso.atlassian.net:evil.com",
    "https://evil.com:.atlassian.net",
    "https://contoso.atlassian.net:٤٤٣",
    # Hosts that are none, or that look like another.
    "https://",
    "https://.atlassian.net",
    "https://a..atlassian.net",
    f"https://{'a' * 64}.atlassian.net",
    "https://[evil.com].atlassian.net",
    "https://[::1].atlassian.net",
    "https://evil.com／.atlassian.net",
    "https://evil.com＃.atlassian.net",
    "https://evil.com℀.atlassian.net",
    "https://contoso.atlassian。net",
    "https://contoso.аtlassian.net",
    "https://bücher.atlassian.net",
    "https://\N{KELVIN SIGN}ontoso.atlassian.net",
    "https://contoso.atlaſſian.net",
]


@pytest.mark.parametrize("url", NO_SITE)
def test_site_must_be_on_an_atlassian_host(url: str) -> None:
    problem("JIRA_SITE_URL", url)


@pytest.mark.parametrize(
    "url",
    [
        "https://contoso.atlassian.net",
        "https://CONTOSO.jira.com:8443/",
        "http://[::1]:1",
        "contoso",
        *NO_SITE,
    ],
)
def test_site_that_is_checked_is_the_one_connected_to(url: str) -> None:
    try:
        (site,) = settings_with(JIRA_SITE_URL=url).sites
    except SettingsError:
        return
    found = parse_url(site.base_url + "/rest")
    assert (found.host or "").strip("[]") == site.host
    assert found.auth is None


def test_site_that_is_refused_is_named_with_the_remedy() -> None:
    found = problem("JIRA_SITE_URL", "https://jira.contoso.com")
    assert "jira.contoso.com" in found
    assert "JIRA_ALLOWED_HOST_SUFFIXES" in found


@pytest.mark.parametrize(
    "suffixes",
    [
        "contoso.com",
        ".contoso.com",
        "*.contoso.com",
        "jira.contoso.com",
        "a.org, Contoso.COM ,b.org",
        "contoso.com,",
        "xn--80ak6aa92e.com,contoso.com",
    ],
)
def test_custom_domain_is_allowed_by_its_name(suffixes: str) -> None:
    (site,) = settings_with(
        JIRA_SITE_URL="https://Jira.Contoso.com", JIRA_ALLOWED_HOST_SUFFIXES=suffixes
    ).sites
    assert site.base_url == "https://jira.contoso.com"


@pytest.mark.parametrize("suffixes", ["ontoso.com", "a.jira.contoso.com", "ontoso.com, o.com"])
def test_custom_domain_matches_whole_names_only(suffixes: str) -> None:
    for url in ("https://jira.contoso.com", "https://jira.contoso.com."):
        (found,) = problems(JIRA_SITE_URL=url, JIRA_ALLOWED_HOST_SUFFIXES=suffixes)
        assert found.startswith("JIRA_SITE_URL ")


@pytest.mark.parametrize(
    "suffixes",
    [
        *("com", ".com", "*com", "*.com", "*", ".", ",", "contoso", "localhost"),
        *("co.uk", "com.au", "*.co.jp", "org.uk", "gov.br"),
        *("10.0.0.1", "0.1", "contoso.1", "127.0.0.1", "::1", "[::1]"),
        *("contoso .com", "a.org b.org", "contoso.com evil.com", "a.org, contoso .com"),
        *("contoso.com:443", "https://contoso.com", "contoso.com/", "contoso.com."),
        *("..contoso.com", "**.contoso.com", "jira.*.com", "contoso..com"),
        *("-.com", "contoso_.com", "cöntoso.com"),
    ],
)
def test_custom_domain_of_another_form_is_refused(suffixes: str) -> None:
    for url in ("https://jira.contoso.com", "https://contoso.atlassian.net", "https://10.0.0.1"):
        found = problems(JIRA_SITE_URL=url, JIRA_ALLOWED_HOST_SUFFIXES=suffixes)
        assert any(each.startswith("JIRA_ALLOWED_HOST_SUFFIXES must ") for each in found)


def test_custom_domains_of_a_wrong_form_fail_every_site() -> None:
    found = problems(
        JIRA_SITE_URL=None,
        JIRA_USERNAME=None,
        JIRA_API_TOKEN=None,
        JIRA_SITES=json.dumps([{"url": "https://contoso.atlassian.net"}]),
        JIRA_ALLOWED_HOST_SUFFIXES="com",
    )
    assert [each.split(" ")[0] for each in found] == ["JIRA_ALLOWED_HOST_SUFFIXES"]


def test_custom_domain_does_not_allow_http() -> None:
    problems(JIRA_SITE_URL="http://jira.contoso.com", JIRA_ALLOWED_HOST_SUFFIXES="contoso.com")


@pytest.mark.parametrize("name", ["con_toso", "contoso/", "contoso evil", "ćontoso", "a\\b"])
def test_alias_of_the_site_takes_letters_digits_and_hyphens(name: str) -> None:
    (found,) = problems(JIRA_SITE_URL=None, JiraHomeSiteName=name)
    assert "https address" in found


@pytest.mark.parametrize(
    ("address", "cloud_id"),
    [
        (f"https://api.atlassian.com/ex/jira/{CLOUD_ID}", CLOUD_ID),
        (f"https://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/api/3", CLOUD_ID),
        (f"https://API.atlassian-us-gov-mod.com/ex/jira/{CLOUD_ID}/", CLOUD_ID),
        ("https://api.atlassian.com/ex/jira/contoso", "the id in that address"),
    ],
)
def test_site_that_is_the_gateway_names_the_cloud_id(address: str, cloud_id: str) -> None:
    found = problem("JIRA_SITE_URL", address)
    assert f"set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}, and" in found


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (f"Bearer {TOKEN}", "without the word bearer"),
        (f"basic  {TOKEN}", "without the word basic"),
        (f"Authorization: Bearer {TOKEN}", "without the word authorization"),
        (f"{MINIMAL['JIRA_USERNAME']}:{TOKEN}", "without the user name"),
        (f"{MINIMAL['JIRA_USERNAME'].upper()}:{TOKEN}", "without the user name"),
    ],
)
def test_token_must_be_the_token_alone(token: str, says: str) -> None:
    found = problem("JIRA_API_TOKEN", token)
    assert says in found
    assert TOKEN not in found


@pytest.mark.parametrize("token", ["Bearer", "bearertoken", "ATATT3xFfGF0:x=", "a:b"])
def test_token_of_any_other_form_is_accepted(token: str) -> None:
    assert settings_with(JIRA_API_TOKEN=token).sites[0].credentials


# Where credentials may go: Azure


@pytest.mark.parametrize(
    ("cloud", "audience", "blobs"),
    [
        ("com", "https://monitor.azure.com", "blob.core.windows.net"),
        ("us", "https://monitor.azure.us", "blob.core.usgovcloudapi.net"),
        ("cn", "https://monitor.azure.cn", "blob.core.chinacloudapi.cn"),
    ],
)
def test_endpoint_decides_the_audience_and_the_blob_host(
    cloud: str, audience: str, blobs: str
) -> None:
    found = azure(
        DATA_COLLECTION_ENDPOINT=f"https://rule-1.region-1.ingest.monitor.azure.{cloud}/",
        AzureWebJobsStorage=None,
        AzureWebJobsStorage__accountName="contoso",
    )
    assert found.ingestion
    assert found.ingestion.endpoint == f"https://rule-1.region-1.ingest.monitor.azure.{cloud}"
    assert found.ingestion.audience == audience
    assert found.storage.account == f"https://contoso.{blobs}"


def test_audience_can_be_set() -> None:
    found = ingestion(
        DATA_COLLECTION_ENDPOINT="https://rule.region.ingest.monitor.azure.us",
        LOGS_INGESTION_AUDIENCE="https://monitor.azure.us/",
    )
    assert found.audience == "https://monitor.azure.us"


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("https://evil.com", "https://management.azure.com"),
        ("https://evil.com", "https://vault.azure.net"),
        ("https://evil.com", "https://monitor.azure.com"),
        ("https://rule.ingest.evil.com", "https://evil.com"),
        ("https://rule.ingest.management.azure.com", "https://management.azure.com"),
        ("https://rule.ingest.monitor.azure.com", "https://monitor.azure.us"),
        ("https://rule.ingest.monitor.azure.com", "https://management.azure.com"),
        ("https://rule.ingest.monitor.azure.us", "https://monitor.azure.com"),
        ("https://rule.ingest.monitor.azure.de", "https://monitor.azure.de:443"),
        ("https://evilingest.monitor.azure.de", "https://monitor.azure.de"),
        ("https://127.0.0.1:8443", "https://vault.azure.net"),
    ],
)
def test_audience_is_that_of_the_endpoint(endpoint: str, audience: str) -> None:
    (found,) = problems(DATA_COLLECTION_ENDPOINT=endpoint, LOGS_INGESTION_AUDIENCE=audience)

    assert found.startswith("LOGS_INGESTION_AUDIENCE must ")


@pytest.mark.parametrize(
    ("endpoint", "storage"),
    [
        ("https://rule.ingest.monitor.azure.com", "https://contoso.blob.core.usgovcloudapi.net"),
        ("https://rule.ingest.monitor.azure.us", "https://contoso.blob.core.windows.net"),
        ("https://rule.ingest.monitor.azure.us", "https://contoso.z1.blob.storage.azure.net"),
    ],
)
def test_storage_is_in_the_cloud_of_the_endpoint(endpoint: str, storage: str) -> None:
    (found,) = problems(
        DATA_COLLECTION_ENDPOINT=endpoint,
        AzureWebJobsStorage=None,
        AzureWebJobsStorage__blobServiceUri=storage,
    )

    assert found.startswith("AzureWebJobsStorage__blobServiceUri must be of the cloud of ")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.com",
        "https://evil.com\\.ingest.monitor.azure.com",
        "https://rule.ingest.monitor.azure.com.evil.com",
        "https://ingest.monitor.azure.com.",
        "https://rule.ingest.monitor.azure.com#",
        "https://rule.ingest.monitor.azure.com?",
        "https://rule.ingest.monitor.azure.com/dataCollectionRules",
        "https://evilingest.monitor.azure.com",
        "https://user@rule.ingest.monitor.azure.com",
        "http://rule.ingest.monitor.azure.com",
        "rule.ingest.monitor.azure.com",
    ],
)
def test_endpoint_must_be_azures(endpoint: str) -> None:
    problem("DATA_COLLECTION_ENDPOINT", endpoint)


def test_endpoint_in_an_unknown_cloud_needs_an_audience() -> None:
    endpoint = "https://rule.ingest.monitor.azure.de"
    assert "LOGS_INGESTION_AUDIENCE" in problem("DATA_COLLECTION_ENDPOINT", endpoint)
    found = ingestion(
        DATA_COLLECTION_ENDPOINT=endpoint, LOGS_INGESTION_AUDIENCE="https://monitor.azure.de"
    )
    assert astuple(found)[0::3] == (endpoint, "https://monitor.azure.de")


@pytest.mark.parametrize("audience", ["monitor.azure.us", "http://monitor.azure.us", "https://a b"])
def test_audience_is_an_https_address(audience: str) -> None:
    problem("LOGS_INGESTION_AUDIENCE", audience)


def test_audience_that_is_wrong_allows_no_unknown_endpoint() -> None:
    (found,) = problems(
        DATA_COLLECTION_ENDPOINT="https://evil.com", LOGS_INGESTION_AUDIENCE="anything"
    )
    assert "LOGS_INGESTION_AUDIENCE" in found


# Storage


@pytest.mark.parametrize(
    "connection",
    [
        CONNECTION,
        CONNECTION + ";",
        f"AccountName=contoso;AccountKey={ACCOUNT_KEY}",
        "BlobEndpoint=https://contoso.blob.core.windows.net;SharedAccessSignature=sv=1&sig=a%3D",
        "UseDevelopmentStorage=true",
    ],
)
def test_storage_connection_string_makes_a_client(connection: str) -> None:
    account = azure(AzureWebJobsStorage=connection).storage.account
    assert isinstance(account, Secret)
    with ContainerClient.from_connection_string(account.reveal(), "jira-audit") as client:
        assert client.credential is not None or "sig=" in client.url


@pytest.mark.parametrize(
    "connection",
    [
        "contoso",
        "AccountName=contoso",
        "AccountName=;AccountKey=a",
        f"AccountKey={ACCOUNT_KEY}",
        f"garbage;AccountName=contoso;AccountKey={ACCOUNT_KEY}",
        f"AccountName=contoso;;AccountKey={ACCOUNT_KEY}",
        "BlobEndpoint=https://contoso.blob.core.windows.net",
        "https://contoso.blob.core.windows.net",
        "UseDevelopmentStorage=false",
    ],
)
def test_storage_connection_string_without_a_client_is_refused(connection: str) -> None:
    assert "connection string" in problem("AzureWebJobsStorage", connection)


def test_storage_account_can_have_its_own_identity() -> None:
    found = azure(
        AzureWebJobsStorage=None,
        AzureWebJobsStorage__accountName="contoso",
        AzureWebJobsStorage__clientId="storage-identity",
        AZURE_CLIENT_ID="sending-identity",
    )
    assert found.storage == Storage(
        "jira-audit", "https://contoso.blob.core.windows.net", "storage-identity"
    )
    assert found.ingestion
    assert found.ingestion.client_id == "sending-identity"


def test_storage_account_defaults_to_the_apps_identity() -> None:
    found = azure(
        AzureWebJobsStorage=None,
        AzureWebJobsStorage__blobServiceUri="https://contoso.blob.core.windows.net/",
        AZURE_CLIENT_ID="app-identity",
    )
    assert found.storage == Storage(
        "jira-audit", "https://contoso.blob.core.windows.net", "app-identity"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AzureWebJobsStorage__accountName", "Contoso"),
        ("AzureWebJobsStorage__accountName", "evil.com/"),
        ("AzureWebJobsStorage__accountName", "ab"),
        ("AzureWebJobsStorage__accountName", "a" * 25),
        ("AzureWebJobsStorage__accountName", VAULT),
        ("AzureWebJobsStorage__blobServiceUri", "http://contoso.blob.core.windows.net"),
        ("AzureWebJobsStorage__blobServiceUri", "https://contoso.blob.core.windows.net/container"),
        ("AzureWebJobsStorage__blobServiceUri", "https://contoso.blob.core.windows.net?sv=1&sig=a"),
        ("AzureWebJobsStorage__blobServiceUri", "https://evil.com\\.blob.core.windows.net"),
    ],
)
def test_storage_account_that_is_invalid_is_refused(name: str, value: str) -> None:
    (found,) = problems(AzureWebJobsStorage=None, **{name: value})
    assert found.startswith(f"{name} ")


@pytest.mark.parametrize("name", ["abc", "jira-audit", "a" * 63, "0-0"])
def test_container_takes_every_valid_name(name: str) -> None:
    assert azure(CHECKPOINT_CONTAINER=name).storage.container == name


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Jira", "a--b", "-ab", "ab-", "a_b", "a/b", "é-"])
def test_container_refuses_an_invalid_name(name: str) -> None:
    assert "lower-case" in problem("CHECKPOINT_CONTAINER", name)


# The reset


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("2026-09-14T00:00:00Z", "2026-09-14T00:00:00Z"),
        ("2026-09-14T02:00:00+02:00", "2026-09-14T00:00:00Z"),
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"),
        ("all", "2002-01-01T00:00:00Z"),
        ("all#again", "2002-01-01T00:00:00Z"),
        ("all # a=b", "2002-01-01T00:00:00Z"),
        ("2026-09-14T00:00:00Z#2", "2026-09-14T00:00:00Z"),
    ],
)
def test_reset_is_a_time_or_all_and_keeps_its_whole_value(value: str, start: str) -> None:
    loaded = settings_with(CHECKPOINT_RESET=value)
    assert loaded.policy.reset == Reset(value, timestamps.parse(start))
    assert loaded.reset_site is None
    assert loaded.policy_for(loaded.sites[0]) == loaded.policy


@pytest.mark.parametrize(
    "value",
    [
        "contoso.atlassian.net=2026-09-14T00:00:00Z",
        "Contoso.atlassian.net = 2026-09-14T00:00:00Z",
        "contoso.atlassian.net=2026-09-14T00:00:00Z#why=because",
    ],
)
def test_reset_of_one_site_concerns_no_other(value: str) -> None:
    loaded = settings_with(CHECKPOINT_RESET=value)
    reset = Reset(value, timestamps.parse("2026-09-14T00:00:00Z"))
    other = replace(loaded.sites[0], host="other.atlassian.net")
    assert loaded.policy_for(loaded.sites[0]).reset == reset
    assert loaded.policy_for(other) == replace(loaded.policy, reset=None)


def test_reset_of_an_unknown_site_concerns_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loaded = settings_with(CHECKPOINT_RESET="Other.atlassian.net=all")

    assert [loaded.policy_for(site).reset for site in loaded.sites] == [None]
    [warning] = caplog.records
    assert warning.levelname == "WARNING"
    assert warning.getMessage() == (
        "CHECKPOINT_RESET names other.atlassian.net, which is not set up here, so it resets "
        "nothing: remove it, or correct the name to one of contoso.atlassian.net"
    )


@pytest.mark.parametrize("site", ["contoso", "", " ", "a=b", "a b.example", f"{'a' * 254}.net"])
def test_reset_of_what_is_no_host_is_refused(site: str) -> None:
    assert "contoso.atlassian.net" in problem("CHECKPOINT_RESET", f"{site}=all")


@pytest.mark.parametrize(
    "value",
    ["2026-09-14T00:00:00", "20260914", "yesterday", "ALL", "#1", "contoso.atlassian.net=", "0"],
)
def test_reset_without_a_valid_time_is_refused(value: str) -> None:
    assert "with its zone" in problem("CHECKPOINT_RESET", value)


@pytest.mark.parametrize("value", ["2026-09-14", "contoso.atlassian.net=2026-09-14#again"])
def test_reset_to_a_date_begins_with_it(value: str) -> None:
    reset = settings_with(CHECKPOINT_RESET=value).policy.reset

    assert reset == Reset(value, timestamps.parse("2026-09-14T00:00:00Z"))


def test_reset_into_the_future_is_refused() -> None:
    assert "future" in problem("CHECKPOINT_RESET", "2026-11-20T12:00:00.001Z")


# Secrets


def test_secret_is_printed_as_stars() -> None:
    secret = Secret(TOKEN)
    assert secret.reveal() == TOKEN
    shown = (repr(secret), str(secret), f"{secret}", f"{secret!r:>5}", "%s" % secret)  # noqa: UP031
    assert {each.strip() for each in shown} == {"***"}
    assert (secret == Secret(TOKEN), secret == Secret("other"), secret == TOKEN) == (
        True,
        False,
        False,
    )
    assert len({secret, Secret(TOKEN)}) == 1


def test_secrets_are_not_in_the_printed_settings() -> None:
    shown = repr(settings_with()) + str(settings_with()) + str(astuple(settings_with()))
    assert "auditor@example.com" in shown
    assert TOKEN not in shown
    assert ACCOUNT_KEY not in shown


def test_settings_that_are_equal_have_one_hash() -> None:
    assert hash(settings_with()) == hash(settings_with())
    assert hash(settings_with()) != hash(settings_with(JIRA_API_TOKEN="other"))


@pytest.mark.parametrize("secret", [TOKEN, CONNECTION, f"https://a:{TOKEN}@contoso.atlassian.net"])
@pytest.mark.parametrize(
    "name",
    [
        *("JIRA_SITE_URL", "JIRA_SITES", "JIRA_OAUTH_CLIENT_SECRET", "JIRA_TOKEN_EXPIRES"),
        *("DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID", "LOGS_DCR_STREAM_NAME"),
        *("LOGS_INGESTION_AUDIENCE", "CHECKPOINT_CONTAINER", "CHECKPOINT_RESET", "LEASE_SECONDS"),
        *("RUN_BUDGET_SECONDS", "POLL_SCHEDULE", "TIME_GENERATED_SOURCE", "AUDIT_WORKSPACE_ID"),
    ],
)
def test_secret_in_a_wrong_setting_is_not_repeated(name: str, secret: str) -> None:
    said = "; ".join(problems(**{name: secret})).casefold()
    for part in ("nobody-may-see", ACCOUNT_KEY.casefold()):
        assert part not in said


@pytest.mark.parametrize("name", [name for name in MINIMAL if name != "JIRA_API_TOKEN"])
def test_secrets_are_in_no_error(name: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings_with(
            **{name: None, "LEASE_SECONDS": "x", "AzureWebJobsStorage": f"{ACCOUNT_KEY};x"}
        )
    shown = str(raised.value) + repr(raised.value) + str(pickle.dumps(raised.value.args))
    assert TOKEN not in shown
    assert ACCOUNT_KEY not in shown


# Before anything is requested


def test_problems_end_the_run_before_any_request(tmp_path: Path) -> None:
    site = "https://settings-test.atlassian.net"
    good = environment(JIRA_SITE_URL=site)

    with pytest.raises(SettingsError):
        app.run({})
    with pytest.raises(SettingsError):
        app.run(good | {"LEASE_SECONDS": "61"})
    with pytest.raises(SettingsError):
        app.run(good | {"CHECKPOINT_RESET": "2999-01-01T00:00:00Z"}, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(NetworkRefused, match="settings-test"):  # so the guard does see a request
        app.run(good, folder=tmp_path)
    assert list(tmp_path.iterdir()) != []


@pytest.mark.parametrize(
    "address",
    [
        "https://contoso.example",
        "https://contoso.blob.core.windows.net.example",
        "https://blob.core.windows.net",
    ],
)
def test_storage_token_goes_to_azures_hosts_only(address: str) -> None:
    [problem] = problems(AzureWebJobsStorage=None, AzureWebJobsStorage__blobServiceUri=address)
    assert problem.startswith("AzureWebJobsStorage__blobServiceUri must be Azure's")


@pytest.mark.parametrize(
    "connection",
    [
        "DefaultEndpointsProtocol=http;AccountName=contoso;AccountKey=a2V5",
        "AccountName=contoso;AccountKey=a2V5;BlobEndpoint=http://contoso.blob.core.windows.net/",
        "BlobEndpoint=http://127.0.0.1.example/;SharedAccessSignature=sv=1&sig=a",
    ],
)
def test_storage_key_is_never_sent_unencrypted(connection: str) -> None:
    [problem] = problems(AzureWebJobsStorage=connection)
    assert problem.startswith("AzureWebJobsStorage must use https")
