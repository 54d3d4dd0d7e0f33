"""One file of a model on the Hugging Face Hub, asked for once: where nothing answers, earlier downloads count.

Left to themselves the Hub's libraries try six times, for half a minute, and tell of each on the terminal.
"""

from __future__ import annotations

from pathlib import Path

_ANSWERS_WITHIN_S = 10.0
_MEANT = {
    "RepositoryNotFoundError": "no model of that name there, or a private one, for which `hf auth login` is needed",
    "GatedRepoError": "its owner asks for consent; give it on the model's page, then `hf auth login`",
    "RevisionNotFoundError": "it has no such revision",
    "EntryNotFoundError": "it has no such file, and so is no model of this kind",
    "RemoteEntryNotFoundError": "it has no such file, and so is no model of this kind",
    "HFValidationError": "no model can be called so",
}
"""The libraries' errors -> what they mean here."""


class NotFromHub(Exception):
    """The file did not come; the message says why. offline: because the Hub was not asked, or did not answer."""

    def __init__(self, why: str, offline: bool) -> None:
        super().__init__(why)
        self.offline = offline


_TRIED: dict[str, Exception | None] = {}
"""Address of a Hub -> why it cannot be reached from this process, None where it can."""


def hub_file(name: str, file: str, revision: str | None) -> Path:
    """Path of the file in the Hub's cache on this machine, downloaded if it is not there. Raises NotFromHub."""
    from huggingface_hub import constants, hf_hub_download

    why = _offline()
    if why:
        # For all that this process loads: transformers and diffusers would each try again, part by part.
        constants.HF_HUB_OFFLINE = True
    try:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=why is not None))
    except Exception as error:  # the Hub's errors share no base class with the network's
        if why:
            missed = _TRIED.get(str(constants.ENDPOINT))  # tells who asks later that the network may be to blame
            raise NotFromHub(f"{why}, and it was not downloaded before", offline=True) from missed or error
        kind = type(error).__name__
        reason = (str(error).strip().splitlines() or [""])[0]
        raise NotFromHub(f"{kind}: {_MEANT.get(kind, reason)}", offline=False) from error


def _offline() -> str | None:
    """Why the Hub is not to be asked, by one try a process; None where something answers, whatever it says."""
    from huggingface_hub import constants, get_session

    endpoint = str(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE and not _TRIED.get(endpoint):
        return "offline: HF_HUB_OFFLINE is set"
    if endpoint not in _TRIED:
        try:
            get_session().head(endpoint, timeout=_ANSWERS_WITHIN_S)
            _TRIED[endpoint] = None
        except Exception as error:  # of whatever library it speaks through
            _TRIED[endpoint] = error
    if (missed := _TRIED[endpoint]) is None:
        return None
    reason = (str(missed).strip().splitlines() or ["no answer"])[0]
    return f"{type(missed).__name__}: {reason} at {endpoint}"
