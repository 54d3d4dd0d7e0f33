"""`unscene submit --wait`: the log of a job on a cluster, until it ends.

The job belongs to the cluster. What stands between here and there may break for a while (a forwarded port, a laptop
that sleeps): then this looks again, and goes on with the log where it was. Only a cluster that stays away, or that has
forgotten the job, ends the following.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from pipeline.scheduling.token import held_token
from schemas.errors import ClusterError

_POLL_S = 1.0
_QUIET_S = 90.0
"""Without a word from the driver, which tells something twice a minute: the connection may have broken unnoticed."""
_AWAY_S = 300.0
_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_UNKNOWN = "does not exist"
"""What Ray's Jobs API answers about a job of another head."""


class Followed:
    """A job on a cluster, as it is seen from here.

    address: URL of the dashboard. say: is told each whole line of the log, once. away_s: how long the cluster may be
    out of reach.
    """

    def __init__(
        self, client: Any, job_id: str, address: str, say: Callable[[str], None], away_s: float = _AWAY_S
    ) -> None:
        self._client, self._job_id, self._address, self._say = client, job_id, address, say
        self._away_s = away_s
        self._seen = 0  # characters of the log that were read
        self._rest = ""  # of them, those of a line that has no end yet

    def exit_code(self) -> int:
        """Follows the job to its end; the driver's exit code (130 of a job that was stopped, 1 without any).

        Raises ClusterError: the cluster stays away, or does not know the job any more.
        """
        try:
            info = self._end()
        except KeyboardInterrupt:
            self._say(f"left; {self._job_id} goes on")
            return 130
        if self._rest:
            self._say(self._rest)
        if info.status == "SUCCEEDED":
            return 0
        self._say(f"{self._job_id} {info.status.lower()}: {info.message}")
        return 130 if info.status == "STOPPED" else int(info.driver_exit_code or 1)

    def _end(self) -> Any:
        """What the cluster says of the job when it has ended."""
        from ray.exceptions import AuthenticationError

        away_since: float | None = None
        while True:
            whole = self._tailed()
            try:
                info = self._client.get_job_info(self._job_id)
            except AuthenticationError:
                raise unknown_token(self._address) from None
            except (OSError, RuntimeError) as error:
                if _UNKNOWN in str(error):
                    raise ClusterError(
                        f"{self._job_id}: the cluster at {self._address} does not know this job any more, as its head "
                        "was started anew; submit the spec again, and it goes on where it was"
                    ) from None
                if away_since is None:
                    away_since = time.monotonic()
                    self._say(f"{self._address} does not answer; trying again for {self._away_s / 60:.0f} min")
                if time.monotonic() - away_since > self._away_s:
                    raise ClusterError(
                        f"--address {self._address}: no answer for {self._away_s / 60:.0f} min; {self._job_id} goes on "
                        "if only the way there broke (open it again and `ray job logs --follow` it); if the head is "
                        "lost, submit the spec again once there is one, and it goes on where it was"
                    ) from None
            else:
                away_since = None
                if info.status in _ENDED:
                    if not whole:  # it ended while its log was out of reach: what it said last is what counts
                        self._tailed()
                    return info
            time.sleep(_POLL_S)

    def _tailed(self) -> bool:
        """Reads the log for as long as it comes; whether it came to its end."""
        with contextlib.suppress(Exception):  # whatever broke the connection: a question for the job tells
            asyncio.run(self._tail())
            return True
        return False

    async def _tail(self) -> None:
        """`say` for each whole line of the log that was not read yet: Ray gives it from its beginning each time."""
        at, clock = 0, asyncio.get_running_loop().time
        async with asyncio.timeout(_QUIET_S) as patience:
            async for piece in self._client.tail_job_logs(self._job_id):
                patience.reschedule(clock() + _QUIET_S)
                at += len(piece)
                if at <= self._seen:
                    continue
                *lines, self._rest = (self._rest + piece[len(piece) - (at - self._seen) :]).split("\n")
                self._seen = at
                for line in lines:
                    self._say(line)


def unknown_token(address: str) -> ClusterError:
    """The error for a cluster that does not take the token that Ray finds here."""
    return ClusterError(
        f"--address {address}: the cluster wants its token, and is given {held_token()}; set RAY_AUTH_MODE=token and "
        "copy ~/.ray/auth_token of its head to this machine"
    )
