"""Following a job whose cluster breaks off, stays away, or comes back without it. The real head: test_submit.py, and
tests/whole_jobs/test_submitted.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import follow
from pipeline.commands.follow import Followed
from schemas.errors import ClusterError

LOG = "one\ntwo\nthree\nwithout an end"
REFUSED = ConnectionError("connection refused")


class Cluster:
    """Stands in for Ray's client. answers: what each question for the job comes to, the last for good. cuts: after how
    many characters each connection of the log breaks; the ones after them hold."""

    def __init__(self, answers: list[Any], cuts: tuple[int, ...] = (), hangs: bool = False) -> None:
        self.answers, self.cuts, self.hangs = answers, list(cuts), hangs

    def get_job_info(self, job_id: str) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        cut = self.cuts.pop(0) if self.cuts else None
        for start in range(0, len(LOG[:cut]), 6):
            yield LOG[:cut][start : start + 6]
        if cut is not None and self.hangs:
            await asyncio.sleep(60)
        if cut is not None:
            raise RuntimeError("WebSocket connection closed unexpectedly")


def told(status: str, code: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(status=status, message="as told", driver_exit_code=code)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_POLL_S", 0.01)


def followed(cluster: Cluster, away_s: float = 60.0) -> tuple[int, list[str]]:
    lines: list[str] = []
    return Followed(cluster, "job-1", "http://h:8265", lines.append, away_s).exit_code(), lines


@pytest.mark.parametrize("hangs", [False, True])
def test_a_log_that_breaks_off_goes_on_where_it_was(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_QUIET_S", 0.1)
    running, done = told("RUNNING"), told("SUCCEEDED")
    code, lines = followed(Cluster([running, running, running, done], cuts=(5, 10, 0), hangs=hangs))
    assert (code, lines) == (0, LOG.split("\n"))


def test_the_last_words_of_a_job_that_ended_out_of_reach_are_shown() -> None:
    assert followed(Cluster([told("FAILED", 2)], cuts=(5,)))[1] == [*LOG.split("\n"), "job-1 failed: as told"]


def test_a_cluster_that_comes_back_is_waited_for() -> None:
    code, lines = followed(Cluster([REFUSED, REFUSED, told("RUNNING"), REFUSED, told("FAILED", 2)]))
    assert code == 2
    assert lines.count("http://h:8265 does not answer; trying again for 1 min") == 2
    assert lines[-1] == "job-1 failed: as told"


def test_a_cluster_that_stays_away_is_one_sentence() -> None:
    with pytest.raises(ClusterError, match=r"--address http://h:8265: no answer for .*; job-1 goes on if .*submit the"):
        followed(Cluster([REFUSED]), away_s=0.05)


def test_a_head_that_has_forgotten_the_job_is_one_sentence() -> None:
    forgotten = RuntimeError("Request failed with status code 404: Job job-1 does not exist.")
    with pytest.raises(ClusterError, match=r"job-1: the cluster at .* started anew; submit the spec again"):
        followed(Cluster([REFUSED, forgotten]))


@pytest.mark.parametrize(
    ("info", "code"), [(told("STOPPED"), 130), (told("FAILED", 1), 1), (told("FAILED", 2), 2), (told("FAILED"), 1)]
)
def test_its_exit_code_is_the_jobs_own(info: Any, code: int) -> None:
    assert followed(Cluster([info]))[0] == code
