"""An answer of Azure's that is no success."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """`details` are the errors within: of a deployment, one for each resource that failed.

    https://learn.microsoft.com/rest/api/resources/deployments/create-or-update#errorresponse
    """

    def __init__(
        self, status: int, code: str, message: str, details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(f"({code}) {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details or []

    @property
    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": error | ({"details": self.details} if self.details else {})}


def missing(resource_id: str) -> Refusal:
    return Refusal(404, "ResourceNotFound", f"The Resource '{resource_id}' was not found.")


def unauthorized(action: str, scope: str) -> Refusal:
    said = f"does not have authorization to perform action '{action}' over scope '{scope}'"
    return Refusal(403, "AuthorizationFailed", f"The client {said}.")
