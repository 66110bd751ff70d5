"""Tokens for Azure, from the app's managed identity or the developer's login.

The errors of a credential are translated here for all clients: TransientError if the next try may
succeed, SiteError if someone must act.
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from azure.core.exceptions import AzureError, ClientAuthenticationError

from jira_audit.core import encoding
from jira_audit.core.clock import RETRY_LOG_FORMAT, Clock, Deadline, RetryPolicy, retry
from jira_audit.core.errors import ConnectorError, SiteError, TransientError
from jira_audit.core.http import Meaning, StatusTable, error_for

if TYPE_CHECKING:
    from azure.core.credentials import (
        AccessToken,
        AccessTokenInfo,
        SupportsTokenInfo,
        TokenCredential,
        TokenRequestOptions,
    )
    from azure.core.pipeline import PipelineResponse

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 3, 10
"""The endpoint is on the same machine; the library alone would wait 300 s for it."""

STORAGE_RETRY_SECONDS = 15.0
"""Storage's client asks for a token within a call, and knows no deadline of ours."""

_REFUSED = Meaning(
    SiteError,
    (
        "the identity endpoint refuses: AZURE_CLIENT_ID must be the client id of an identity that "
        "is assigned to this app"
    ),
)
_UNAVAILABLE = Meaning(TransientError, "the identity endpoint is unavailable")
STATUS = StatusTable({400: _REFUSED, 403: _REFUSED}, server_error=_UNAVAILABLE, other=_UNAVAILABLE)
"""What an answer's status means, and who acts; every other one is transient: one request in ten was
seen to fail so (https://github.com/Azure/azure-functions-host/issues/11058)."""


class Tokens:
    """A credential for Azure's clients that raises the connector's errors.

    `policy` sets the retries, within `STORAGE_RETRY_SECONDS`; without it, the caller retries.
    Raises TransientError if the next try may succeed, or SiteError if someone must act.
    """

    def __init__(
        self, credential: TokenCredential, clock: Clock, policy: RetryPolicy | None = None
    ) -> None:
        self._credential, self._clock, self._policy = credential, clock, policy

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Get a token for these scopes; the credential caches it."""
        return self._get(lambda: self._credential.get_token(*scopes, **options))

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Get a token and its details for these scopes; the credential caches it."""
        # Every credential of azure-identity has it.
        credential = cast("SupportsTokenInfo", self._credential)
        return self._get(lambda: credential.get_token_info(*scopes, options=options))

    def _get(self, get: Callable[[], T]) -> T:
        ask = partial(_translate_errors, get)
        if self._policy is None:
            return ask()
        deadline = Deadline.after(self._clock, STORAGE_RETRY_SECONDS)
        on_wait = partial(log.warning, RETRY_LOG_FORMAT)
        return retry(ask, policy=self._policy, deadline=deadline, on_wait=on_wait)


def managed_identity(client_id: str | None, clock: Clock) -> TokenCredential:
    """The app's managed identity: user-assigned with this client id, or system-assigned."""
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415  an idle tick needs none

    return ManagedIdentityCredential(
        client_id=client_id,
        retry_total=0,  # one owner of retries
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # Here, before the library: it would read the body of an error as JSON, remember it for
        # 5 s or more, and raise the same for a refusal as for a moment's absence.
        raw_response_hook=lambda response: _check(response, clock.now()),
    )


def _translate_errors(get: Callable[[], T]) -> T:
    """Call the credential, and translate its errors."""
    try:
        return get()
    except ConnectorError:
        raise
    except ClientAuthenticationError as error:
        message = (
            "no token could be had: in Azure, see that the app has an identity and that "
            "AZURE_CLIENT_ID is its client id; on a developer's machine, run az login "
            f"({type(error).__name__})"
        )
        raise SiteError(message) from error
    except AzureError as error:
        message = f"the identity endpoint could not be reached ({type(error).__name__})"
        raise TransientError(message) from error
    except Exception as error:  # of a client library, by whatever the endpoint answered: no bug
        message = f"the identity endpoint's answer cannot be read ({type(error).__name__})"
        raise TransientError(message) from error


def _check(response: PipelineResponse[Any, Any], now: int) -> None:
    """Raise the error for a response that is not a token."""
    answer = response.http_response
    status: int = answer.status_code
    if status != 200:
        raise error_for(status, STATUS, headers=answer.headers, now=now)
    if not _is_token(answer.content):
        message = "the identity endpoint answered 200 with a body that is not a token"
        raise TransientError(message)


def _is_token(body: bytes) -> bool:
    try:
        token = encoding.loads(body)
        return bool(token["access_token"]) and int(token["expires_on"]) > 0
    except (ValueError, TypeError, KeyError):
        return False
