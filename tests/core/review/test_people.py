"""One person is one account, with a name where the log itself has it."""

from __future__ import annotations

from jira_audit.core.review.people import NOBODY, People, Person
from tests.core.review import ANNA, ANNA_KEY, BEN, BEN_KEY, SITE, joins, reviewed, row


def people(*rows: dict[str, object]) -> People:
    return reviewed(*rows).people


def test_key_and_account_id_of_an_author_are_one_person() -> None:
    known = people(row(5, "Project created"))

    assert known.person(SITE, ANNA_KEY) == known.person(SITE, ANNA) == Person(ANNA)


def test_id_that_is_in_no_record_is_itself() -> None:
    assert people().person(SITE, BEN_KEY) == Person(BEN_KEY)
    assert people().person(SITE, "") == NOBODY


def test_names_come_from_changes_of_the_user() -> None:
    changed = {"Full name": ("", "Anna Berg"), "Email": ("", "anna@contoso.example")}
    renamed = row(9, "User updated", "user management", on=("USER", ANNA_KEY), changed=changed)

    known = people(renamed, row(5, "Project created"))

    assert known.person(SITE, ANNA) == Person(ANNA, "Anna Berg", "anna@contoso.example")


def test_latest_name_counts() -> None:
    def renamed(minutes_ago: float, name: str) -> dict[str, object]:
        changed = {"Display name": ("", name)}
        return row(minutes_ago, "User updated", on=("USER", ANNA), changed=changed)

    assert people(renamed(5, "New"), renamed(9, "Old")).person(SITE, ANNA).name == "New"


def test_item_with_an_id_and_a_name_tells_the_name() -> None:
    member = joins(5, BEN_KEY, "jira-users")
    member["associatedItems_s"] = f'[{{"id":"{BEN_KEY}","name":"Ben","typeName":"USER"}}]'

    assert people(member).person(SITE, BEN_KEY).name == "Ben"


def test_item_with_two_ids_joins_them() -> None:
    member = joins(5, BEN_KEY, "jira-users")
    member["associatedItems_s"] = f'[{{"id":"{BEN_KEY}","name":"{BEN}","typeName":"USER"}}]'

    assert people(member).person(SITE, BEN_KEY).id == BEN


def test_legacy_user_names_are_of_their_site() -> None:
    known = people(
        row(5, "Project created", by=(ANNA, "admin")),
        row(5, "Project created", by=(BEN, "admin"), site="other.atlassian.net"),
    )

    assert known.person(SITE, "admin").id == ANNA
    assert known.person("other.atlassian.net", "admin").id == BEN


def test_group_and_project_names_are_nobodys() -> None:
    known = people(row(5, "Group created", on=("GROUP", "g"), changed={"Full name": ("", "x")}))

    assert known.person(SITE, "g") == Person("g")
