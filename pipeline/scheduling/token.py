"""The token that Ray finds here, in words: for the sentences of those whose cluster does not take it."""

from __future__ import annotations

import os


def held_token() -> str:
    """Which token Ray goes by in this process, or that it has none. It looks in this order itself."""
    if (mode := os.environ.get("RAY_AUTH_MODE", "token")) != "token":
        return f"no token (RAY_AUTH_MODE is {mode})"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "the token in RAY_AUTH_TOKEN"
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return f"the token in {path} (RAY_AUTH_TOKEN_PATH)"
    if os.path.isfile(os.path.expanduser("~/.ray/auth_token")):
        return "the token in ~/.ray/auth_token"
    return "no token in ~/.ray/auth_token"
