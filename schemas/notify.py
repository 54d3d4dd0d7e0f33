"""The `notify` section of the job spec: who is told that a run has ended."""

from __future__ import annotations

from pydantic import field_serializer

from schemas.fields import Strict, field

FROM_ENVIRONMENT = "env:"
"""What stands before the name of a variable that holds the URL."""


class Notify(Strict):
    """Who is told that a run has ended: finished, stopped or failed. Once a run, with a small JSON.
    Nothing here changes a result, and nobody who does not answer keeps a job from its end."""

    url: str | None = field(
        None,
        "Web address (`https://...`) that the JSON is sent to by POST, or `env:NAME`: the variable of the driver's "
        "environment that holds it. An address that is itself a secret, as chat programs give them out, belongs there. "
        "run.json keeps `env:NAME` only, so that a retry tells nobody of another one.",
        result=False,
        min_length=1,
        also=("webhook", "webhook_url", "slack", "callback_url"),
    )
    command: list[str] = field(
        [],
        "Program and its arguments, a text each, run on the driver's machine without a shell, with the JSON on its "
        "standard input. It is written to run.json: nothing secret belongs here.",
        result=False,
        also=("on_finish", "callback", "hook", "exec", "cmd"),
    )
    timeout_s: float = field(
        10.0, "Whoever takes longer is not waited for. Unit: seconds.", gt=0, le=600, result=False, also=("timeout",)
    )

    @field_serializer("url", when_used="json")
    def _no_secret_in_a_file(self, url: str | None) -> str | None:
        return url if url is not None and url.startswith(FROM_ENVIRONMENT) else None
