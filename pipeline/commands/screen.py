"""What a command prints, whoever prints it: no credentials, and an escape for what the terminal's encoding lacks."""

from __future__ import annotations

import sys
from typing import Any, TextIO, cast

from schemas.secrets import masked


class _Told:
    """A text stream that passes everything on to another, what is written without the credentials in it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)


def guard_the_screen() -> None:
    """From here on nothing that this process prints holds a credential, nor stops it by a name that is no UTF-8."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, _Told(stream)))
