"""A small JSON, sent to a web address or given to a program. Nobody who does not answer is waited for, and no address,
which may be a secret, is told beyond its host."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent on becomes a GET without its JSON, to an address that nobody wrote."""

    def redirect_request(self, *_: Any) -> None:
        return None


def host_of(url: str) -> str:
    """What may be told of an address."""
    return urllib.parse.urlsplit(url).hostname or "no host"


def post(url: str, body: bytes, timeout_s: float) -> str | None:
    """Sends the JSON by POST. Returns None, or in words why it did not arrive; never raises."""
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", "User-Agent": "unscene"}, method="POST"
    )

    def send() -> str | None:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
                return None
        except urllib.error.HTTPError as error:
            return f"answered {error.code}" + (", and is not followed elsewhere" if 300 <= error.code < 400 else "")
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise error.reason from None
            return f"cannot be reached ({getattr(error.reason, 'strerror', None) or type(error.reason).__name__})"

    try:
        return within_seconds(send, timeout_s)
    except TimeoutError:
        return f"has not answered within {timeout_s:g} s"
    except Exception as error:  # of any library below; its words may hold the address
        return f"cannot be reached ({type(error).__name__})"


def run(command: Sequence[str], body: bytes, timeout_s: float) -> str | None:
    """Runs a program without a shell, the JSON on its standard input. Returns None, or in words how it failed; never
    raises. What it prints stands where our own words do."""
    try:
        process = subprocess.Popen(list(command), stdin=subprocess.PIPE, start_new_session=True)
    except (OSError, ValueError) as error:
        return f"cannot be started ({getattr(error, 'strerror', None) or error})"
    try:
        process.communicate(body, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"has not ended within {timeout_s:g} s, and was killed"
    except OSError as error:
        return f"cannot be spoken to ({error.strerror or error})"
    finally:
        if process.poll() is None:  # with whatever it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    code = process.returncode
    return None if code == 0 else f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def within_seconds(call: Callable[[], T], seconds: float) -> T:
    """What a call returns or raises; TimeoutError after so many seconds, in which case it is left to itself: a name
    that no server resolves, or an answer that comes byte by byte, has no time limit of its own."""
    found: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True, name="notice")
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not found:
        raise TimeoutError
    return found[0]
