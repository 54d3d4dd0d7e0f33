"""`notify`: telling a web address or a program, once, that a run has ended, whatever its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.storage.folder import Storage
from pipeline.watching.notice import host_of, post, run, within_seconds
from pipeline.watching.snapshot import read_snapshot
from pipeline.wording import span
from schemas.errors import JobError, Mistakes, SpecError
from schemas.job import JobSpec
from schemas.notify import FROM_ENVIRONMENT, Notify
from schemas.outcomes import as_told

_LONGEST = 2000


@dataclass
class Ending:
    """What a run says of its end, while it is still there to say it. scenes: stage -> scenes with results and without,
    in all; None where the run came to no result. complete: false where it was asked to stop. wrong: why it counts as
    failed though it came to its end. report: address of its page."""

    scenes: Mapping[str, tuple[int, int]] | None = None
    complete: bool = True
    wrong: str | None = None
    report: str | None = None


@contextmanager
def notified(spec: JobSpec, say: Callable[[str], None]) -> Iterator[Ending]:
    """Tells whom `spec.notify` names how what is done inside ended, and says a line of each. SIGTERM ends it as Ctrl-C
    does, where nobody inside takes it (before the first unit), and not without a word.

    Raises SpecError, before anything is done, for an address or a program that nobody could tell.
    """
    check_notify(spec.notify)
    began, ending = time.monotonic(), Ending()
    try:
        with _terminated():
            yield ending
    except BaseException as error:
        _tell(spec, ending, time.monotonic() - began, error, say)
        raise
    _tell(spec, ending, time.monotonic() - began, None, say)


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM raises SystemExit inside, as it does where Ray has started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_notify(notify: Notify) -> list[str]:
    """Who would be told, in words. Raises SpecError for an address that is none, a variable that is not set here, and
    a program that is not here."""
    mistakes, found = Mistakes(), []
    with mistakes.told_later():
        if (url := address_of(notify)) is not None:
            found.append(f"POST to {host_of(url)}")
    with mistakes.told_later():
        if notify.command:
            if shutil.which(notify.command[0]) is None:
                raise SpecError(
                    f"notify.command: there is no program {notify.command[0] or 'without a name'} on this machine; "
                    "give the path of one that can be run, and each argument as a text of its own"
                )
            found.append(f"runs {notify.command[0]}")
    mistakes.tell()
    return found


def address_of(notify: Notify) -> str | None:
    """The web address that is told. Raises SpecError, without the address in it."""
    url = notify.url
    if url is None:
        return None
    if url.startswith(FROM_ENVIRONMENT):
        name = url.removeprefix(FROM_ENVIRONMENT)
        url = os.environ.get(name, "").strip()
        if not url:
            raise SpecError(
                f"notify.url: {FROM_ENVIRONMENT}{name}: there is no variable {name or 'without a name'} in the "
                "environment of this process; set it there to the web address, or take the field out"
            )
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s\x00-\x1f]", url) or not url.isascii():
        raise SpecError(
            "notify.url: this is no web address; give one such as https://example.com/hook, or "
            f"{FROM_ENVIRONMENT}NAME for the variable of the environment that holds it"
        )
    if parts.username is not None:
        raise SpecError(
            "notify.url: a user or password before the host is not sent; give an address that needs none, or let "
            "notify.command send it"
        )
    return url


def _tell(
    spec: JobSpec, ending: Ending, seconds: float, error: BaseException | None, say: Callable[[str], None]
) -> None:
    notify = spec.notify
    if notify.url is None and not notify.command:
        return
    body = json.dumps(told(spec, ending, seconds, error), ensure_ascii=False).encode("utf-8", "replace")
    answers = []
    if (url := address_of(notify)) is not None:
        answers.append((f"notify.url: {host_of(url)}", post(url, body, notify.timeout_s)))
    if notify.command:
        answers.append((f"notify.command: {notify.command[0]}", run(notify.command, body, notify.timeout_s)))
    for who, problem in answers:
        say(f"{who} was told" if problem is None else f"{who} {problem}; the job is none the worse for it")


def told(spec: JobSpec, ending: Ending, seconds: float, error: BaseException | None) -> dict[str, Any]:
    """What is told: always the same keys. scenes: null where nobody could say within seconds."""
    state, why = _state(ending, error)
    why, output = None if why is None else as_told(why)[:_LONGEST], as_told(spec.output)
    scenes = ending.scenes if ending.scenes is not None else _last_counts(spec)
    failed = None if scenes is None else sum(lost for _, lost in scenes.values())
    words = f"unscene {state}: {output}, {span(seconds)}"
    words += f", {failed} scenes failed" if failed else ""
    return {
        "text": words + (f": {why}" if why else ""),
        "output": output,
        "state": state,
        "seconds": round(seconds, 1),
        "scenes": None
        if scenes is None
        else {stage: {"done": done, "failed": lost} for stage, (done, lost) in scenes.items()},
        "failed": failed,
        "report": None if ending.report is None else as_told(ending.report),
        "error": why,
    }


def _state(ending: Ending, error: BaseException | None) -> tuple[str, str | None]:
    """`finished`, `stopped` or `failed`, and why it failed."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)) or not ending.complete:
        return "stopped", None
    if ending.wrong is not None:
        return "failed", ending.wrong
    if error is None:
        return "finished", None
    words = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
    return "failed", words


def _last_counts(spec: JobSpec) -> dict[str, tuple[int, int]] | None:
    """Of a run that came to no result: as it last wrote them. A store that is away costs seconds, and an answer."""
    try:
        found = within_seconds(lambda: read_snapshot(Storage(spec.output)), spec.notify.timeout_s)
    except Exception:
        return None
    stages = (found or {}).get("stages", {})
    return {name: (int(stage["done"]), int(stage["failed"])) for name, stage in stages.items()}
