"""People: the ids of one person joined, and names where the log itself has them. Pure.

An author has an account id and a user key; a member of a group is named by the key alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from jira_audit.core.review.events import Event

_NAME_FIELDS = {"full name", "display name"}
_EMAIL_FIELDS = {"email", "email address"}
_ID = re.compile(
    r"(?i)(?:ug|qm|[0-9]+):[0-9a-f:_-]+|[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Forms of account ids and user keys; a legacy user name is none of them."""


@dataclass(frozen=True)
class Person:
    """Someone, or an app. The name is what the person may have chosen; the id is not.

    `name` and `email` are empty if the log does not have them.
    """

    id: str
    name: str = ""
    email: str = ""


NOBODY = Person("")
"""No author: Jira itself, or whoever manages the organization."""


class _Token(NamedTuple):
    """An id that is unique among all sites: a legacy user name is so at its `site` only."""

    site: str
    id: str


@dataclass
class _Identity:
    """What is known of one person; `name` and `email` each with the time of the record."""

    tokens: set[_Token]
    name: tuple[int, str] = (0, "")
    email: tuple[int, str] = (0, "")


@dataclass
class People:
    """Everyone the records name. The latest name counts."""

    _by_token: dict[_Token, _Identity] = field(default_factory=dict)

    def learn(self, event: Event) -> None:
        """Learn what an event says about its author and about users."""
        if event.key and event.account:
            self._join(_token(event.site, event.key), _token(event.site, event.account))
        subject = event.subject
        if subject.is_user and (subject.id or subject.name):
            identity = self._identity(_token(event.site, subject.id or subject.name))
            for change in event.changes:
                if change.after and change.field.lower() in _NAME_FIELDS:
                    identity.name = max(identity.name, (event.at, change.after))
                if change.after and change.field.lower() in _EMAIL_FIELDS:
                    identity.email = max(identity.email, (event.at, change.after))
        for item in (subject, *event.items):
            if item.is_user and item.id and item.name not in {"", item.id}:
                token = _token(event.site, item.id)
                if _ID.fullmatch(item.name):
                    self._join(token, _token(event.site, item.name))
                else:
                    identity = self._identity(token)
                    identity.name = max(identity.name, (event.at, item.name))

    def author(self, event: Event) -> Person:
        """Who did it; NOBODY without an author."""
        return self.person(event.site, event.account or event.key)

    def person(self, site: str, id_: str) -> Person:
        """The person with this account id or, at this site, this user key."""
        if not id_:
            return NOBODY
        token = _token(site, id_)
        identity = self._by_token.get(token) or _Identity({token})
        best = min(identity.tokens, key=lambda each: (_is_key(each), each))
        return Person(best.id, identity.name[1], identity.email[1])

    def _identity(self, token: _Token) -> _Identity:
        return self._by_token.setdefault(token, _Identity({token}))

    def _join(self, one: _Token, other: _Token) -> None:
        first, second = self._identity(one), self._identity(other)
        if first is second:
            return
        if len(first.tokens) < len(second.tokens):
            first, second = second, first
        first.tokens |= second.tokens
        first.name, first.email = max(first.name, second.name), max(first.email, second.email)
        for token in second.tokens:
            self._by_token[token] = first


def _token(site: str, id_: str) -> _Token:
    return _Token("" if _ID.fullmatch(id_) else site, id_)


def _is_key(token: _Token) -> bool:
    """Whether it is a user key, which nobody can look up, rather than an account id."""
    return token.site != "" or token.id.startswith("ug:")
