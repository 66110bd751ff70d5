"""The Logs Ingestion API: sends one batch, once; the caller retries.

The first send imports the libraries: a tick without new records does not load them.
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    SiteError,
    TransientError,
    Unanswered,
    UndocumentedSuccess,
)
from jira_audit.core.http import Meaning, StatusTable, error_for
from jira_audit.edge.transport import (
    azure_transport,
    is_unsent,
    network_reason,
    os_error,
    quoted_code,
    secrets_of,
    unreachable,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.monitor.ingestion import LogsIngestionClient

COMPRESSION = 1
"""gzip's level. The limit counts uncompressed bytes: a higher level only costs CPU."""

GZIP = 31
"""`wbits` for gzip: https://docs.python.org/3/library/zlib.html#zlib.compress"""

CONNECT_SECONDS = 5.0

# Whether a service that fails has accepted the rows before, nobody can know.
_UNANSWERED = Meaning(Unanswered, "the ingestion service is unavailable")
_MEANINGS = {
    400: Meaning(BatchRefused, "the ingestion service refuses the rows"),
    401: Meaning(
        SiteError,
        "the ingestion service does not accept the token: LOGS_INGESTION_AUDIENCE does not match "
        "the cloud of DATA_COLLECTION_ENDPOINT, or the identity is in another tenant",
    ),
    403: Meaning(
        SiteError,
        "the identity may not send: it needs the role Monitoring Metrics Publisher on the data "
        "collection rule. A new role takes up to 30 minutes; nothing is lost meanwhile",
    ),
    404: Meaning(
        SiteError,
        "the ingestion service knows no such rule: check LOGS_DCR_RULE_ID (the immutable id, "
        "dcr-…) and DATA_COLLECTION_ENDPOINT, which must belong together, in one region",
    ),
    408: _UNANSWERED,
    413: Meaning(BatchRefused, "the batch is too large for the ingestion service"),
    429: Meaning(TransientError, "the ingestion service limits the rate of calls"),
    500: _UNANSWERED,
    502: _UNANSWERED,
    503: _UNANSWERED,
    504: _UNANSWERED,
}
_UNDOCUMENTED = "its answer is not documented"
_SUCCESSES = {code: Meaning(UndocumentedSuccess, _UNDOCUMENTED) for code in range(200, 300)}
STATUS = StatusTable(
    {**_SUCCESSES, **_MEANINGS},
    server_error=Meaning(Unanswered, _UNDOCUMENTED),
    other=Meaning(SiteError, _UNDOCUMENTED),
)
"""What a status means, and who acts."""


class IngestionSink:
    """The stream of one data collection rule. Thread-safe.

    `endpoint` is the rule's ingestion endpoint, `rule` its immutable id, `audience` its tokens'
    resource, `send_seconds` one attempt's timeout, `now` the wall clock in milliseconds.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        rule: str,
        stream: str,
        audience: str,
        credential: Callable[[], TokenCredential],
        send_seconds: float,
        now: Callable[[], int],
    ) -> None:
        self._endpoint, self._rule, self._stream = endpoint, rule, stream
        self._scope, self._make_credential, self._now = f"{audience}/.default", credential, now
        self._timeouts: dict[str, Any] = {
            "connection_timeout": min(CONNECT_SECONDS, send_seconds / 3),
            "read_timeout": send_seconds - min(CONNECT_SECONDS, send_seconds / 3),
        }
        self._lock = Lock()

    def prepare(self) -> None:
        """Get a token, so that `send` makes one call of at most `send_seconds`.

        Raises SiteError or TransientError.
        """
        self._token_source.get_token(self._scope)  # the credential caches it

    def send(self, body: bytes) -> None:
        """Send a JSON array of rows. Returns once all are accepted.

        Raises BatchRefused if these rows, or so many, are refused; TransientError; or SiteError if
        someone must act. After a `MayHaveArrived`, the rows may have been accepted.
        """
        from azure.core.exceptions import (  # noqa: PLC0415
            AzureError,
            HttpResponseError,
        )
        from isal import isal_zlib  # noqa: PLC0415

        try:
            # The library sends a stream in one call. It would split a list by sums that omit the
            # commas, into several calls: https://github.com/Azure/azure-sdk-for-python/issues/42648
            self._client.upload(
                self._rule,
                self._stream,
                io.BytesIO(isal_zlib.compress(body, COMPRESSION, GZIP)),
                retry_total=0,
                permit_redirects=False,  # the token goes to this host alone
                **self._timeouts,
            )
        except AzureError as error:
            if is_unsent(error):
                raise TransientError(unreachable("the ingestion service", error)) from error
            if isinstance(error, HttpResponseError) and error.status_code:
                raise _to_error(error, self._now()) from error
            reason = network_reason(error)
            message = (
                f"the ingestion service could not be reached, or its answer was lost ({reason})"
            )
            raise Unanswered(message) from error
        except OSError as error:  # before anything was sent
            raise os_error("the ingestion service", error) from error

    @property
    def _token_source(self) -> TokenCredential:
        with self._lock:
            return self._cached_credential

    @property
    def _client(self) -> LogsIngestionClient:
        with self._lock:
            return self._cached_client

    @cached_property
    def _cached_credential(self) -> TokenCredential:
        return self._make_credential()

    @cached_property
    def _cached_client(self) -> LogsIngestionClient:
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy  # noqa: PLC0415
        from azure.monitor.ingestion import LogsIngestionClient  # noqa: PLC0415

        class OneAttempt(BearerTokenCredentialPolicy[Any, Any]):
            """The library's retry would send the rest of the stream: nothing."""

            def on_challenge(self, request: Any, response: Any) -> bool:  # noqa: ARG002
                return False

        return LogsIngestionClient(
            self._endpoint,
            self._cached_credential,
            authentication_policy=OneAttempt(self._cached_credential, self._scope),
            transport=azure_transport(),
        )


def _to_error(error: HttpResponseError, now: int) -> ConnectorError:
    """The error for a response that is not a 204."""
    return error_for(
        error.status_code or 0,
        STATUS,
        headers=getattr(error.response, "headers", {}),
        now=now,
        detail=_error_code(error),
        secrets=secrets_of(getattr(error.response, "request", None)),
    )


def _error_code(error: HttpResponseError) -> str:
    """The service's error code, such as `InvalidStream`. Its message could quote a row."""
    code = error.error.code if error.error else ""
    return quoted_code(code, getattr(error.response, "request", None))
