"""The errors that a person is meant to read: one sentence that names the thing, what is wrong, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.secrets import masked


def _told(argument: object) -> object:
    return masked(argument) if isinstance(argument, str) else argument


class JobError(Exception):
    """What was asked for cannot be done as things are. The command line prints the message alone and exits with code 2.

    Made of several sentences, one a mistake, it says all of them, numbered. The classes below say where the remedy
    lies; this one alone is for what lies in none of them. No message of any holds a credential.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_told, args))

    def __str__(self) -> str:
        if len(self.args) < 2:
            return super().__str__()
        return f"{len(self.args)} mistakes: " + " ".join(f"({n}) {text}" for n, text in enumerate(self.args, 1))


class SpecError(JobError):
    """In the job spec: a field is wrong, or what it names is not there."""


class Mistakes:
    """Collects the mistakes of several checks, none of which needs another to pass, to tell them at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    @contextmanager
    def told_later(self) -> Iterator[None]:
        """Keeps the SpecError of a check for `tell`."""
        try:
            yield
        except SpecError as error:
            self._texts += [str(text) for text in error.args if text not in self._texts]

    def tell(self) -> None:
        """Raises SpecError with all that was kept, if anything was."""
        if self._texts:
            raise SpecError(*self._texts)


class OutputError(JobError):
    """In the OUTPUT: it holds something else, lacks something, cannot be written, or another run is at work there."""


class LeaseLost(OutputError):
    """Another run has taken this OUTPUT over. Whoever meets it writes nothing more there."""


class StoreAway(JobError):
    """A store, of the source or of the OUTPUT, has not answered for as long as we wait. No file's fault and no scene's:
    the same command goes on once it does."""


class StoreFull(JobError):
    """There is no room left where a job writes. No scene's fault: the same command goes on once there is."""


class ClusterError(JobError):
    """In the cluster: Ray does not start, does not answer or does not let us in."""


class CommandError(JobError):
    """In the command's own arguments: what `--scene`, `--only` or `--address` names is not there."""


class SceneError(Exception):
    """One scene cannot be done. It becomes a row in failures; the job goes on.

    transient: the fault is of the place (its storage did not answer), so the scene is tried again first.
    """

    def __init__(self, *args: object, transient: bool = False) -> None:
        super().__init__(*map(_told, args))
        self.transient = transient


class Withdrawn(SceneError):
    """The scene was taken out of the job by its owner."""
