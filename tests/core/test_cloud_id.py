"""That a cloud id is told from whatever else somebody may set, or a site may answer."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.cloud_id import is_cloud_id


@given(st.uuids())
def test_cloud_id_is_any_uuid_in_either_case(made: uuid.UUID) -> None:
    assert is_cloud_id(str(made))
    assert is_cloud_id(str(made).upper())


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "x" * 36, "11111111-2222-4333-8444-55555555555", " " * 36),
        "11111111222243338444555555555555",
        "11111111-2222-4333-8444-555555555555\n",
        " 11111111-2222-4333-8444-555555555555",
        "{11111111-2222-4333-8444-555555555555}",
        "11111111-2222-4333-8444-555555555555/../other",
        "１1111111-2222-4333-8444-555555555555",
    ],
)
def test_cloud_id_is_nothing_else(text: str) -> None:
    assert not is_cloud_id(text)
