"""What `generate` says of its sampler: refused in one sentence where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.fingerprint import fingerprint
from schemas.job import Generate, JobSpec

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "more steps than it was distilled on": (
        {"sampler": "lcm", "steps": 51},
        r"generate\.steps: 51 is more than the 50 steps that generate\.sampler: lcm has; ask for 4 to 8",
    ),
    "an interval backwards": (
        {"guidance_interval": [5.42, 0.28]},
        r"generate\.guidance_interval: \[5\.42, 0\.28\] holds no noise level; give the lower one first",
    ),
    "an interval of no guidance": (
        {"guidance": 1.0, "guidance_interval": [0.28, 5.42]},
        r"generate\.guidance_interval says where to guide, and generate\.guidance: 1 guides nowhere; take one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sampled_is_refused(name: str) -> None:
    asked, sentence = REFUSED[name]
    with pytest.raises(ValidationError, match=sentence):
        Generate.model_validate(asked)


def test_who_began_before_there_was_an_interval_goes_on() -> None:
    def of(**generate: Any) -> str:
        return fingerprint(JobSpec.model_validate({"source": {"uri": "/p"}, "output": "/o", "generate": generate}), {})

    assert of() == of(guidance_interval=None)
    assert of() != of(guidance_interval=[0.28, 5.42])


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("ByteDance/SDXL-Lightning/sdxl_lightning_8step_lora.safetensors", 8),
        ("ByteDance/Hyper-SD/Hyper-SD15-2steps-lora.safetensors", 2),
        ("latent-consistency/lcm-lora-sdv1-5", 4),
        ("8steps/hyper.safetensors", 4),
        ("hyper-4steps-or-8steps.safetensors", 4),
    ],
)
def test_steps_are_those_that_the_file_s_name_says(name: str, steps: int) -> None:
    assert Generate.model_validate({"accelerate": name}).steps == steps
    assert Generate.model_validate({"accelerate": name, "steps": 6}).steps == 6


def test_weights_that_want_guidance_are_asked_for_it() -> None:
    name = "ByteDance/Hyper-SD/Hyper-SD15-8steps-CFG-lora.safetensors"
    with pytest.raises(ValidationError, match=r"wants guidance \(CFG\); set generate\.guidance as its page says"):
        Generate.model_validate({"accelerate": name})
    assert Generate.model_validate({"accelerate": name, "guidance": 5.0}).steps == 8
