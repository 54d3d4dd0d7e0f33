"""The errors that a person is meant to read: one sentence that names the thing, what is wrong, and the remedy."""


class SpecError(Exception):
    """The job cannot start as described. The command line prints the message alone and exits with code 2."""


class SceneError(Exception):
    """One scene cannot be done. It becomes a row in failures; the job goes on."""


class Withdrawn(SceneError):
    """The scene was taken out of the job by its owner."""
