"""The errors that a person is meant to read: one sentence that names the thing, what is wrong, and the remedy."""


class JobError(Exception):
    """What was asked for cannot be done as things are. The command line prints the message alone and exits with code 2.

    The classes below say where the remedy lies; this one alone is for what lies in none of them.
    """


class SpecError(JobError):
    """In the job spec: a field is wrong, or what it names is not there."""


class OutputError(JobError):
    """In the OUTPUT: it holds something else, lacks something, cannot be written, or another run is at work there."""


class ClusterError(JobError):
    """In the cluster: Ray does not start, does not answer or does not let us in."""


class CommandError(JobError):
    """In the command's own arguments: what `--scene`, `--only` or `--address` names is not there."""


class SceneError(Exception):
    """One scene cannot be done. It becomes a row in failures; the job goes on.

    transient: the fault is of the place (its storage did not answer), so the scene is tried again first.
    """

    def __init__(self, *args: object, transient: bool = False) -> None:
        super().__init__(*args)
        self.transient = transient


class Withdrawn(SceneError):
    """The scene was taken out of the job by its owner."""
