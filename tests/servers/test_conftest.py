"""That tests cannot leave the machine, and that CI does not skip what it lacks."""

import http.client
import socket

import pytest

from tests.conftest import NetworkRefused, needed


def test_a_test_that_reaches_for_another_machine_fails() -> None:
    # 192.0.2.0/24 is for documentation: https://www.rfc-editor.org/rfc/rfc5737
    with pytest.raises(NetworkRefused):
        http.client.HTTPConnection("192.0.2.1", timeout=1).connect()
    with socket.socket() as own, pytest.raises(NetworkRefused):
        own.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("contoso.atlassian.net", 443)


def test_a_missing_part_is_a_skip_for_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no Azurite"):
        needed(False, "no Azurite")


def test_a_missing_part_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no Azurite"):
        needed(False, "no Azurite")
