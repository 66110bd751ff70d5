"""Microsoft's ASIM testers, rebuilt: whether a parser's columns, rows and file are as they ask.

The rules, all of https://github.com/Azure/Azure-Sentinel:

* `schema_problems`: the errors of ASIM/dev/ASimTester/Testers/ASimSchemaTester.yaml
* `data_problems`: the errors of ASIM/dev/ASimTester/Testers/ASimDataTester.yaml
* `template_problems`: .script/tests/asimParsersTest/VerifyASimParserTemplate.py
* `SCHEMAS`: what ASIM/dev/ASimTester/ASimTester.csv says of the fields

Left out is what only a contribution to that repository can have: the entry in the unifying parser,
a file of samples, and our vendor and product among those that the CSV lists. The CSV gives
`SrcIpAddr` of UserManagement the type "IP address", which no column can have: here it is a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any


@dataclass(frozen=True)
class Schema:
    """An ASIM schema: `version`, and the title and link that a parser refers to it by.

    `aliases` and `conditional` name the field that each goes with; `values` has the enumerated
    fields. Of the optional fields `optional` has those that a parser here may have.
    """

    version: str
    title: str
    link: str
    mandatory: frozenset[str]
    recommended: frozenset[str]
    optional: frozenset[str]
    conditional: Mapping[str, str]
    aliases: Mapping[str, str]
    values: Mapping[str, frozenset[str]]

    @property
    def known(self) -> frozenset[str]:
        pairs = {*self.conditional, *self.aliases}
        return self.mandatory | self.recommended | self.optional | pairs


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def listed(text: str) -> frozenset[str]:
    """As the CSV has them: `Success|Failure`."""
    return frozenset(text.split("|"))


KINDS = {
    "TimeGenerated": "datetime",
    "EventStartTime": "datetime",
    "EventEndTime": "datetime",
    "EventCount": "int",
    "AdditionalFields": "dynamic",
}
"""The types of the fields that are no texts; those of both schemas that a parser here may have."""

ADDRESSES = {"SrcIpAddr", "IpAddr", "DvcIpAddr", "TargetIpAddr"}

_MANDATORY = words(
    "TimeGenerated Type EventCount EventStartTime EventEndTime EventType EventResult EventProduct"
    " EventVendor EventSchema EventSchemaVersion Dvc"
)
_RECOMMENDED = words(
    "EventResultDetails EventUid EventSeverity DvcAction DvcDomain DvcHostname DvcIpAddr Src"
    " SrcIpAddr"
)
_OPTIONAL = words(
    "AdditionalFields ActingAppId ActingAppType ActorOriginalUserType ActorSessionId ActorUserId"
    " ActorUserType DvcFQDN DvcId EventMessage EventOriginalResultDetails EventOriginalSeverity"
    " EventOriginalSubType EventOriginalType EventOriginalUid EventOwner EventProductVersion"
    " EventReportUrl EventSubType HttpUserAgent RuleName"
)
_RESULTS = listed("Success|Partial|Failure|NA")
_SEVERITIES = listed("Informational|Low|Medium|High")
_USERNAMES = listed("UPN|Windows|DN|Simple")
_USER_IDS = listed("SID|UID|AADID|OktaId|AWSId|PUID|SalesforceId|VectraUserId|MD4IoTid|Other")

SCHEMAS: Mapping[str, Schema] = {
    "AuditEvent": Schema(
        version="0.1.2",
        title="ASIM Audit Event Schema",
        link="https://aka.ms/ASimAuditEventDoc",
        mandatory=_MANDATORY | words("Operation"),
        recommended=_RECOMMENDED
        | words("ActorUsername Dst NewValue Object ObjectId TargetHostname TargetIpAddr"),
        optional=_OPTIONAL
        # The page of the schema has OriginalObjectType, the CSV not.
        | words("OldValue ObjectType OriginalObjectType TargetAppId TargetAppName ValueType"),
        conditional={
            "ActorUserIdType": "ActorUserId",
            "ActorUsernameType": "ActorUsername",
            "DvcDomainType": "DvcDomain",
            "TargetAppType": "TargetAppName",
        },
        aliases={
            "Application": "TargetAppName",
            "IpAddr": "SrcIpAddr",
            "User": "ActorUsername",
            "Value": "NewValue",
        },
        values={
            "EventType": listed(
                "Set|Read|Create|Delete|Execute|Install|Clear|Enable|Disable|Initialize|Start|Stop"
                "|Terminate|Other"
            ),
            "EventResult": _RESULTS,
            "EventSchema": listed("AuditEvent"),
            "EventSeverity": _SEVERITIES,
            # `Cloud Resource` is of the schema's page, and not yet of the CSV.
            "ObjectType": listed(
                "Configuration Atom|Policy Rule|Event Log|Scheduled Task|Service"
                "|Directory Service Object|Cloud Resource|Other"
            ),
            "ActorUserIdType": _USER_IDS,
            "ActorUsernameType": _USERNAMES,
            "TargetAppType": listed("Process|Service|Resource|URL|SaaS application|Other"),
            "ValueType": listed("Other"),
        },
    ),
    "UserManagement": Schema(
        version="0.1.2",
        title="ASIM User Management Schema",
        link="https://aka.ms/ASimUserManagementDoc",
        mandatory=_MANDATORY | words("ActorUsername EventSeverity"),
        recommended=(_RECOMMENDED - {"EventSeverity"})
        | words("DvcFQDN DvcId SrcDomain SrcHostname"),
        optional=_OPTIONAL
        | words(
            "GroupId GroupIdType GroupName GroupNameType GroupOriginalType GroupType"
            " NewPropertyValue PreviousPropertyValue TargetOriginalUserType TargetUserId"
            " TargetUserType TargetUsername"
        ),
        conditional={
            "ActorUserIdType": "ActorUserId",
            "ActorUsernameType": "ActorUsername",
            "DvcDomainType": "DvcDomain",
            "TargetUserIdType": "TargetUserId",
            "TargetUsernameType": "TargetUsername",
        },
        aliases={
            "Hostname": "DvcHostname",
            "IpAddr": "SrcIpAddr",
            "Rule": "RuleName",
            "UpdatedPropertyName": "EventSubType",
            "User": "ActorUsername",
        },
        values={
            "EventType": listed(
                "UserCreated|UserDeleted|UserModified|UserLocked|UserUnlocked|UserDisabled|UserEnabled"
                "|PasswordChanged|PasswordReset|GroupCreated|GroupDeleted|GroupModified"
                "|UserAddedToGroup|UserRemovedFromGroup|GroupEnumerated|UserRead|GroupRead"
            ),
            "EventSubType": listed(
                "UserRead|UserCreated|GroupCreated|UserModified|GroupModified|password|shell|GID"
                "|expiration|UID"
            ),
            "EventResult": _RESULTS,
            "EventSchema": listed("UserManagement"),
            "EventSeverity": _SEVERITIES,
            "ActorUserIdType": _USER_IDS,
            "ActorUsernameType": _USERNAMES,
            "ActorUserType": listed(
                "Regular|Machine|Admin|System|Application|Service Principal|Other"
            ),
            "GroupIdType": listed("SID|UID"),
            "GroupNameType": _USERNAMES,
            "TargetUserIdType": _USER_IDS,
            "TargetUsernameType": _USERNAMES,
            "TargetUserType": listed(
                "Regular|Machine|Admin|System|Application|Service Principal|Other"
            ),
        },
    ),
}


def schema_problems(schema: Schema, columns: Mapping[str, str]) -> list[str]:
    """What Microsoft's schema tester calls an error, and columns that the schema does not know."""
    return sorted(_schema_problems(schema, columns))


def _schema_problems(schema: Schema, columns: Mapping[str, str]) -> Iterator[str]:
    for name in schema.mandatory - set(columns):
        yield f"{name} is mandatory"
    for name, other in {**schema.conditional, **schema.aliases}.items():
        if name not in columns and (other in columns or other in schema.mandatory):
            yield f"{name} goes with {other}"
    for name, kind in columns.items():
        if name not in schema.known:
            yield f"{name} is no field of the schema"
        elif kind != KINDS.get(name, "string"):
            yield f"{name} is {kind}"


def data_problems(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What Microsoft's data tester calls an error; an alias must also have its field's value."""
    return sorted({problem for row in rows for problem in _data_problems(schema, row)})


def _data_problems(schema: Schema, row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        if name in schema.values and value not in {"", None, *schema.values[name]}:
            yield f"{name} is {value!r}"
        if name in ADDRESSES and value and not _is_address(value):
            yield f"{name} is no address: {value!r}"
    for alias, name in schema.aliases.items():
        if alias in row and row[alias] != row[name]:
            yield f"{alias} is not {name}"
    if row["EventSchemaVersion"] != schema.version:
        yield f"EventSchemaVersion is {row['EventSchemaVersion']!r}"


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def empty_mandatory(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Mandatory fields without a value in some row, of which the data tester warns."""
    return {name for row in rows for name in schema.mandatory if row[name] in {"", None}}


def template_problems(body: Mapping[str, Any]) -> list[str]:
    """What Microsoft's check of a parser's file finds wrong."""
    return [*_problems_of_parser(body), *_problems_of_normalization(body)]


def _problems_of_parser(body: Mapping[str, Any]) -> Iterator[str]:
    parser, query = body.get("Parser", {}), body.get("ParserQuery", "")
    for field in ("EventProduct", "EventVendor"):
        if not re.search(rf"{field}\s*=\s*['\"][^'\"]+['\"]", query):
            yield f"{field} is not in the query"
    if not parser.get("Title"):
        yield "Title"
    if not re.fullmatch(r"\d+[.]\d+[.]\d+", str(parser.get("Version"))):
        yield "Version"
    if not _is_date(str(parser.get("LastUpdated"))):
        yield "LastUpdated"


def _problems_of_normalization(body: Mapping[str, Any]) -> Iterator[str]:
    normalization, name = body.get("Normalization", {}), body.get("ParserName", "")
    called = str(normalization.get("Schema"))
    schema = SCHEMAS.get(called)
    if schema is None:
        yield "Schema"
        return
    if normalization.get("Version") != schema.version:
        yield "version of the schema"
    links = {each["Title"]: each["Link"] for each in body.get("References", [])}
    if links.get(schema.title) != schema.link:
        yield "reference to the schema"
    if links.get("ASIM") != "https://aka.ms/AboutASIM":
        yield "reference to ASIM"
    prefix, built_in = ("ASim", "ASim") if name.startswith("ASim") else ("vim", "Im")
    if not name.startswith(f"{prefix}{called}"):
        yield "ParserName"
    if not body.get("EquivalentBuiltInParser", "").startswith(f"_{built_in}_{called}_"):
        yield "EquivalentBuiltInParser"


def _is_date(text: str) -> bool:
    """Such as Jun 29, 2024."""
    try:
        return bool(datetime.strptime(text, "%b %d, %Y").replace(tzinfo=UTC))
    except ValueError:
        return False
