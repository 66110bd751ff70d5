"""Tokens for Azure, from the app's managed identity or the developer's login.

Translates credential errors for all clients: TransientError if the next try may succeed, SiteError
if someone must act.
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
from jira_audit.edge.transport import azure_transport, os_error, secrets_of, unreachable

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
"""The endpoint is local; the library's default is 300 s."""

STORAGE_RETRY_SECONDS = 15.0
"""Bounds the token requests inside a storage call, which knows no deadline of ours."""

_REFUSED = Meaning(
    SiteError,
    (
        "the identity endpoint refuses: AZURE_CLIENT_ID must be the client id of an identity "
        "assigned to this app"
    ),
)
_UNAVAILABLE = Meaning(TransientError, "the identity endpoint is unavailable")
STATUS = StatusTable({400: _REFUSED, 403: _REFUSED}, server_error=_UNAVAILABLE, other=_UNAVAILABLE)
"""What a status means, and who acts. Any other is transient: one request in ten was seen to fail
(https://github.com/Azure/azure-functions-host/issues/11058)."""


class Tokens:
    """A credential for Azure's clients. Raises TransientError or SiteError.

    With a `policy` it retries, within `STORAGE_RETRY_SECONDS`; without, the caller does.
    """

    def __init__(
        self, credential: TokenCredential, clock: Clock, policy: RetryPolicy | None = None
    ) -> None:
        self._credential, self._clock, self._policy = credential, clock, policy

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token for these scopes, cached by the credential."""
        return self._get(lambda: self._credential.get_token(*scopes, **options))

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """A token for these scopes and its details, cached by the credential."""
        # Every azure-identity credential has this method.
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
    """The app's managed identity: user-assigned if `client_id` is given, else system-assigned."""
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415  an idle tick needs none

    return ManagedIdentityCredential(
        client_id=client_id,
        retry_total=0,  # this class's callers retry
        transport=azure_transport(CONNECT_SECONDS, READ_SECONDS),
        # The check precedes the library, which would parse an error's body as JSON, cache it for 5
        # s or more, and raise the same for a refusal as for an outage.
        raw_response_hook=lambda response: _check(response, clock.now()),
    )


def developer_login() -> TokenCredential:
    """The login of a developer's machine, or of a pipeline's environment."""
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415  imports much

    return DefaultAzureCredential(transport=azure_transport())


def _translate_errors(get: Callable[[], T]) -> T:
    """Call the credential; translate its errors."""
    try:
        return get()
    except ConnectorError:
        raise
    except ClientAuthenticationError as error:
        message = (
            "no token: in Azure, check that the app has an identity and that AZURE_CLIENT_ID is "
            f"its client id; on a developer's machine, run az login ({type(error).__name__})"
        )
        raise SiteError(message) from error
    except AzureError as error:
        raise TransientError(unreachable("the identity endpoint", error)) from error
    except OSError as error:
        raise os_error("the identity endpoint", error) from error
    except Exception as error:  # raised by client libraries on a malformed response
        message = f"the identity endpoint's response is unreadable ({type(error).__name__})"
        raise TransientError(message) from error


def _check(response: PipelineResponse[Any, Any], now: int) -> None:
    """Raise the error for a response that is not a token."""
    answer = response.http_response
    status: int = answer.status_code
    if status != 200:
        secrets = secrets_of(response.http_request)
        raise error_for(status, STATUS, headers=answer.headers, now=now, secrets=secrets)
    if not _is_token(answer.content):
        message = "the identity endpoint answered HTTP 200, but the body is not a token"
        raise TransientError(message)


def _is_token(body: bytes) -> bool:
    try:
        token = encoding.loads(body)
        return bool(token["access_token"]) and int(token["expires_on"]) > 0
    except (ValueError, TypeError, KeyError):
        return False
