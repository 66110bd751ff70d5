"""A credential for Azure's clients that has one token and asks nobody for it."""

from __future__ import annotations

from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo

FAR_AWAY = 2**40


class FixedToken:
    def __init__(self, text: str) -> None:
        self.text = text

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self.text, FAR_AWAY)

    def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self.text, FAR_AWAY)
