"""What a scene costs, as it is counted without weights: against torch's own counter, while the stages work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models import SD21, SDXL
from schemas.outcomes import SceneTask
from stages.extract.stage import ExtractStage
from stages.generate.cost import draw_calls
from stages.generate.prompts import list_variations
from stages.generate.stage import GenerateStage
from stages.handles.cost import base_cost, meta_unet
from stages.models.flops import FlopCount
from stages.stage import StageContext
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task
from tests.support.tiny_sdxl import build_tiny_sdxl

ONE = {"lora": {"rank": 4, "text_encoder": False}, "batch": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {"sd": build_tiny_model(folder / "sd"), "sdxl": build_tiny_sdxl(folder / "sdxl")}


def counted(work: Any) -> float:
    """TFLOP as torch counts it, which knows of attention only where it is spelt out."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("sd", {"phase2": {"steps": 0}}),
        ("sd", {"phase1": {"steps": 0}}),
        ("sd", {"phase1": {"steps": 0}, "prior": {"weight": 0}, "lora": {"rank": 4, "targets": "attention_ff_conv"}}),
        ("sd", {"phase1": {"steps": 0}, "tuning": "full"}),
        ("sd", {"picture": "pasted", "phase2": {"steps": 0}}),
        ("sdxl", {}),
    ],
)
def test_learning_and_drawing_cost_what_torch_counts(
    models: dict[str, Path], tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    spec = tiny_spec(models[kind], extract={**ONE, **settings})
    cost = base_cost(spec)
    stage = ExtractStage(spec, StageContext(str(tmp_path)))
    assert counted(stage.prepare) == pytest.approx(cost.prior_tflop, rel=0.01)
    stage.setup()
    outputs: list[Any] = []
    whole = counted(lambda: outputs.extend(stage.process([tiny_task(0, 2, word="cat")])))
    (output,) = outputs
    assert output.failure is None, output.failure
    assert cost.learn_tflop == pytest.approx(whole, rel=0.03)
    if kind == "sd" and "phase2" not in settings:
        return
    task = SceneTask("scene0", {"handles": output.rows}, {"safetensors": output.files["scene0.safetensors"]})
    drawing = GenerateStage(spec, StageContext("memory://none"))
    drawing.setup()
    whole = counted(lambda: list(drawing.process([task])))
    words = [row["token"] for row in output.rows]
    pictures = list_variations("scene0", words, words, spec.generate)
    assert sum(call.total for call in draw_calls(spec.generate, cost, pictures)) == pytest.approx(whole, rel=0.02)


def test_checkpointing_costs_about_one_more_pass(models: dict[str, Path], tmp_path: Path) -> None:
    """What is computed twice ends before a block's last product, and leaves out what is beside the blocks."""
    spec = tiny_spec(models["sd"], extract={**ONE, "prior": {"weight": 0}, "gradient_checkpointing": True})
    stage = ExtractStage(spec, StageContext(str(tmp_path)))
    stage.setup()
    whole = counted(lambda: list(stage.process([tiny_task(0, 2, word="cat")])))
    assert whole <= base_cost(spec).learn_tflop < 1.15 * whole


@pytest.mark.parametrize("config", [SD21["unet"], SDXL["unet"]], ids=["sd", "sdxl"])
def test_a_pass_of_true_layout_is_counted_as_torch_counts_it(config: dict[str, Any]) -> None:
    """Narrow, for the counter's sake; forward, and back to the text."""
    blocks = config["down_block_types"]
    narrow = {**config, "block_out_channels": [32 * 2**i for i in range(len(blocks))], "sample_size": 8}
    unet = meta_unet({**narrow, "attention_head_dim": 8}).requires_grad_(False)
    given: dict[str, Any] = {"timestep": torch.zeros(1, device="meta")}
    states = torch.empty(1, 77, config["cross_attention_dim"], device="meta", requires_grad=True)
    if "addition_embed_type" in config:
        times = torch.empty(1, 6, device="meta")
        given["added_cond_kwargs"] = {"text_embeds": torch.empty(1, 1280, device="meta"), "time_ids": times}

    def run() -> torch.Tensor:
        latents = torch.empty(1, 4, 8, 8, device="meta")
        return unet(latents, encoder_hidden_states=states, **given).sample

    with FlopCount() as ours:
        run()
    with FlopCounterMode(display=False) as torchs:
        out = run()
        forward = torchs.get_total_flops()
        out.backward(torch.empty_like(out))
    assert ours.forward == pytest.approx(forward, rel=1e-6)
    assert ours.forward + ours.backward == pytest.approx(torchs.get_total_flops(), rel=1e-3)
