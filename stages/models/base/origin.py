"""Whether a base was made by the process that we train and sample: DDPM, not distilled. From configurations alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.errors import SpecError

OTHER_PROCESSES = {
    "FlowM": "flow matching",
    "EDM": "EDM",
    "CosineDPMSolver": "EDM",
    "KarrasVe": "EDM",
    "ScoreSdeVe": "score matching",
    "SCM": "a consistency model",
    "CMStochasticIterative": "a consistency model",
    "UnCLIP": "unCLIP",
    "VQDiffusion": "VQ diffusion",
    "Amused": "masked tokens",
}
"""How the class of a scheduler begins -> the process that it stands for."""
DISTILLED = re.compile(
    r"(?<![a-z])(turbo|lightning|lcm|tcd|hyper-?sd(?:xl)?|dmd2?|schnell)(?![a-z]|_logs)", re.IGNORECASE
)
"""What distilled models call themselves. Not `lightning_logs`, where PyTorch Lightning leaves any model."""
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace")
"""`beta_schedule` of DDPMScheduler."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")

_TAKE = "name an SD 1.x, SD 2.x or SDXL model that"


def check_process(base: str, scheduler: Mapping[str, Any], names: Iterable[object] = ()) -> None:
    """Raises a SpecError unless `scheduler`, the scheduler's configuration, is of a DDPM process that we train.

    names: what the model is called: its id on the Hub, and the `_name_or_path` of its configurations.
    """
    kind = str(scheduler.get("_class_name", ""))
    for start, process in OTHER_PROCESSES.items():
        if kind.startswith(start):
            raise SpecError(
                f"models.base: the scheduler of {base} is {kind}: it was trained by {process}, and handles are learned "
                f"by DDPM (betas); {_TAKE} was not turned to it"
            )
    if kind.startswith(("LCM", "TCD")):
        raise SpecError(
            f"models.base: the scheduler of {base} is {kind}, that of a distilled model, which training spoils; name "
            f"the model that it was distilled from, or, where only the scheduler was exchanged, give it that model's "
            f"scheduler folder"
        )
    for name in names:
        if isinstance(name, str) and (word := DISTILLED.search(_last(name))):
            raise SpecError(
                f"models.base: {base} is distilled for few steps ({word.group()}, as {name!r} says), and training "
                f"spoils that; name the model that it was distilled from"
            )
    _check_betas(base, scheduler, kind)


def _check_betas(base: str, scheduler: Mapping[str, Any], kind: str) -> None:
    predicts, schedule = scheduler.get("prediction_type", "epsilon"), scheduler.get("beta_schedule", "linear")
    if predicts not in PREDICTIONS:
        raise SpecError(
            f"models.base: {base} predicts {predicts!r}; epsilon, v_prediction and sample are supported: {_TAKE} "
            f"predicts one of them"
        )
    for key, wrong in (("use_flow_sigmas", True), ("timestep_type", "continuous")):
        if scheduler.get(key) == wrong:
            raise SpecError(
                f"models.base: the scheduler of {base} says {key}: {wrong}, so it was trained by another process than "
                f"DDPM; {_TAKE} was trained with betas and whole timesteps"
            )
    if scheduler.get("trained_betas") is not None:
        return
    if not all(isinstance(scheduler.get(key), int | float) for key in ("beta_start", "beta_end")):
        raise SpecError(
            f"models.base: the scheduler of {base} ({kind or 'of no class'}) says no beta_start and beta_end, so its "
            f"process is no DDPM, or was lost; {_TAKE} has them, or give it the scheduler folder of the model that it "
            f"was made from"
        )
    if schedule not in SCHEDULES:
        raise SpecError(
            f"models.base: the scheduler of {base} has the beta_schedule {schedule!r}; {', '.join(SCHEDULES)} are "
            f"supported: give it the scheduler folder of the model that it was made from"
        )


def _last(name: str) -> str:
    """The end of a path or an id, without the part's folder."""
    pieces = [piece for piece in re.split(r"[/\\]", name) if piece]
    while len(pieces) > 1 and re.fullmatch(r"unet|snapshots|[0-9a-f]{40}", pieces[-1]):
        pieces.pop()
    return pieces[-1] if pieces else ""
