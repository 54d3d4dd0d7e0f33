"""SDXL's two text encoders inside the engine, against what diffusers and transformers make of the same model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from schemas.errors import SpecError
from schemas.job import Extract
from stages.extract.method.draws import SceneDraws
from stages.extract.method.latents import encode_scene
from stages.extract.method.step import build_inputs, loss_terms
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.attention_maps import loss_layers
from stages.handles.cost import meta_unet, scene_cost, unet_forward_tflop
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import HandleTokens
from stages.models.base.base_model import BaseModel
from stages.models.base.layout import check_layout, model_side
from stages.models.base.loading import load_base
from stages.models.base.pictures import decode_latents
from stages.models.base.text_states import TextStates
from tests.support.tiny_models import WORDS, build_tokenizer, tiny_picture, tiny_spec
from tests.support.tiny_sdxl import POOLED, WIDTHS, build_tiny_sdxl, load_pipeline

PROMPTS = ("a photo of <asset1> and <asset0> at the beach", "a cat!", "<asset0> in the snow with <asset1>")
SETTINGS = Extract.model_validate(
    {"phase1": {"steps": 3, "lr": 5e-3}, "phase2": {"steps": 3, "lr": 1e-3}, "lora": {"rank": 4, "text_encoder": True}}
)
PRIOR = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(9))
SDXL = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "norm_num_groups": 32,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}


@pytest.fixture(scope="module", params=[True, False], ids=["legacy_eos", "true_eos"])
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sdxl(tmp_path_factory.mktemp("tiny"), legacy_eos=request.param)


@pytest.fixture(scope="module")
def legacy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sdxl(tmp_path_factory.mktemp("legacy"))


@pytest.fixture(scope="module")
def model(legacy_dir: Path) -> SceneModel:
    return SceneModel(load_base(str(legacy_dir), None, torch.float32, "cpu"), "<asset{index}>")


@pytest.fixture(scope="module")
def scenes(model: SceneModel) -> list[TrainingScene]:
    """Three scenes of 1, 2 and 3 concepts."""
    made = []
    for number in range(3):
        picture, masks = tiny_picture(number, number + 1)
        latents = encode_scene(
            model.base,
            torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1,
            torch.from_numpy(masks),
            model.recorder.side,
        )
        made.append(TrainingScene(f"scene{number}", [(10 + j, 20 + j) for j in range(number + 1)], latents))
    return made


@pytest.fixture(scope="module")
def together(model: SceneModel, scenes: list[TrainingScene]) -> list[TrainedScene]:
    return Trainer(model, SETTINGS, 0, PRIOR).train(scenes)


def test_text_states_are_the_pipeline_s_with_the_handles_loaded(model_dir: Path) -> None:
    handles = torch.randn(2, 2, sum(WIDTHS), generator=torch.Generator().manual_seed(1))
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    model.bind(handles)
    model.owners.rows(torch.tensor([0, 1, 1]), 2)
    mine = model.base.text_states(torch.stack([model.tokens.ids(prompt) for prompt in PROMPTS]))
    assert mine.pooled is not None
    pipe = load_pipeline(model_dir)
    for j in range(2):
        for part, encoder, tokenizer in zip(
            handles[1, j].split(WIDTHS),
            (pipe.text_encoder, pipe.text_encoder_2),
            (pipe.tokenizer, pipe.tokenizer_2),
            strict=True,
        ):
            pipe.load_textual_inversion(part, token=f"<asset{j}>", text_encoder=encoder, tokenizer=tokenizer)
    for row in (1, 2):
        with torch.no_grad():
            states, _, pooled, _ = pipe.encode_prompt(PROMPTS[row], do_classifier_free_guidance=False)
        torch.testing.assert_close(mine.states[row : row + 1], states, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine.pooled[row : row + 1], pooled, rtol=1e-4, atol=1e-5)
    assert (mine.states[0] - mine.states[2]).abs().max() > 1e-2, "the scene's own handles must matter"


def test_predict_is_the_stock_unet_s(model: SceneModel, legacy_dir: Path) -> None:
    stock = UNet2DConditionModel.from_pretrained(legacy_dir, subfolder="unet")
    torch.manual_seed(0)
    latents, steps = torch.randn(2, 4, 16, 16), torch.tensor([5, 900])
    text = TextStates(torch.randn(2, 32, sum(WIDTHS)), torch.randn(2, POOLED))

    def reference(sizes: list[float]) -> Tensor:
        added = {"text_embeds": text.pooled, "time_ids": torch.tensor([sizes] * 2)}
        return stock(latents, steps, encoder_hidden_states=text.states, added_cond_kwargs=added).sample

    with torch.no_grad():
        mine, wanted = model.base.predict(latents, steps, text), reference([64.0, 64.0, 0.0, 0.0, 64.0, 64.0])
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)
        assert (reference([32.0, 64.0, 0.0, 0.0, 64.0, 64.0]) - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("number", [0, 2])
def test_alone_or_with_others_is_the_same(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene], number: int
) -> None:
    (alone,) = Trainer(model, SETTINGS, 0, PRIOR).train([scenes[number]])
    shared = together[number]
    assert alone.handles.shape == (number + 1, sum(WIDTHS))
    torch.testing.assert_close(alone.handles, shared.handles, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(alone.curves, shared.curves, rtol=1e-4, atol=1e-4)
    assert set(alone.lora) == set(shared.lora)
    for name, factor in alone.lora.items():
        torch.testing.assert_close(factor, shared.lora[name], rtol=1e-4, atol=1e-4)


def test_both_encoders_learn(model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene]) -> None:
    start = model.initial_handles([scenes[1].word_ids])[0]
    tables = [embedding.weight for embedding in model.embeddings]
    for j, ids in enumerate(scenes[1].word_ids):
        assert torch.equal(start[j], torch.cat([table[i] for table, i in zip(tables, ids, strict=True)]))
    moved = (together[1].handles - start).abs()
    assert all(part.amax(-1).min() > 1e-3 for part in moved.split(WIDTHS, dim=-1))
    trained = {name.split(".")[0] for name, t in together[1].lora.items() if "lora_B" in name and t.abs().max() > 1e-4}
    assert trained == {"unet", "text_encoder", "text_encoder_2"}
    assert any(
        name.startswith("text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_A")
        for name in together[1].lora
    )


def test_pooled_text_trains_the_second_encoder_s_part_of_the_handles(model_dir: Path) -> None:
    """With the true end token the pooled state lies behind the handle and sees it; with the legacy one it is the state
    at the handle's own place.
    """
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    handles = model.initial_handles([[(1, 2)]]).requires_grad_()
    model.bind(handles)
    ids = model.tokens.ids("a photo of <asset0> in the snow")[None]
    pooled = model.base.text_states(ids).pooled
    (gradient,) = torch.autograd.grad(pooled.square().sum(), handles)
    first, second = gradient[0, 0].split(WIDTHS)
    assert not first.any(), "the pooled output is the second encoder's"
    assert second.abs().max() > 0


def test_the_prior_s_states_may_be_shared(model: SceneModel, scenes: list[TrainingScene]) -> None:
    """Where the text encoders are the base's own, encoding the prior's prompt once must give the same losses."""
    settings = Extract.model_validate(SETTINGS.model_dump() | {"lora": {"rank": 4, "text_encoder": False}})
    trainer = Trainer(model, settings, 0, PRIOR)
    source = trainer._prior_source()
    assert source is not None
    assert source.states is not None
    assert source.states.pooled is not None
    draws = [SceneDraws(0, s.scene_id, 2, len(s.word_ids), (4, 16, 16), 1000, prior_images=3).next() for s in scenes]
    terms = []
    for prior in (source, replace(source, states=None)):
        inputs = build_inputs(draws, [s.latents for s in scenes], model.tokens, settings, 3, prior)
        assert inputs.ids.shape == (3, 2, 32)
        model.bind(model.initial_handles([s.word_ids for s in scenes]))
        with torch.no_grad():
            terms.append(loss_terms(model, inputs, settings).stacked())
        model.release()
    torch.testing.assert_close(terms[0], terms[1], rtol=1e-5, atol=1e-6)
    assert (terms[0] > 0).all()


def test_every_tokenizer_pads_and_counts_in_its_own_way(legacy_dir: Path) -> None:
    tokenizers = [CLIPTokenizer.from_pretrained(legacy_dir, subfolder=name) for name in ("tokenizer", "tokenizer_2")]
    tokens = HandleTokens(tokenizers)
    prompt = "a photo of <asset1> and <asset0> zebra"
    rows = tokens.ids(prompt).tolist()
    assert tokens.positions(prompt, (1, 0)) == [4, 6]
    for row, tokenizer, first in zip(rows, tokenizers, tokens.first_ids, strict=True):
        assert first == len(tokenizer)
        tokenizer.add_tokens(["<asset0>", "<asset1>"])
        assert row == tokenizer(prompt, padding="max_length", max_length=32, truncation=True).input_ids
        assert [row[4], row[6], row[-1]] == [first + 1, first, tokenizer.pad_token_id]
    assert tokens.first_ids[0] != tokens.first_ids[1]
    assert rows[0][-1] != rows[1][-1]
    with pytest.raises(SpecError, match=r"extract\.template: .*different numbers of tokens"):
        tokens.positions("a zebra with <asset0>", [0])


def test_a_word_must_be_known_to_both_encoders() -> None:
    tokens = HandleTokens([build_tokenizer(), build_tokenizer((*WORDS, "zebra"))])
    word, ids = tokens.pick_word("cat", "object")
    assert (word, ids) == ("cat", tuple(t("cat", add_special_tokens=False).input_ids[0] for t in tokens.tokenizers))
    assert tokens.pick_word("猫", "dog")[0] == "dog"
    short = build_tokenizer()
    short.model_max_length = 16
    with pytest.raises(SpecError, match=r"models\.base: .*different lengths \(32 and 16 tokens\)"):
        HandleTokens([build_tokenizer(), short])


def test_a_vae_that_overflows_stays_in_float32(legacy_dir: Path) -> None:
    def moments(dtype: torch.dtype) -> tuple[BaseModel, Tensor]:
        base = load_base(str(legacy_dir), None, dtype, "cpu")
        picture, masks = tiny_picture(0, 1)
        pixels = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
        return base, encode_scene(base, pixels, torch.from_numpy(masks), 4).mean

    exact, wanted = moments(torch.float32)
    half, mean = moments(torch.float16)
    assert (half.vae.dtype, half.unet.dtype, half.text_encoder_2.text_projection.weight.dtype) == (
        torch.float32,
        torch.float16,
        torch.float16,
    )
    assert torch.equal(mean, wanted), "no autocast either, or it would overflow all the same"
    latents = torch.randn(1, *half.latent_shape)
    assert (decode_latents(half, latents) == decode_latents(exact, latents)).all()
    brief, mean = moments(torch.bfloat16)
    assert brief.vae.dtype == torch.bfloat16
    assert not torch.equal(mean, wanted)


def test_sdxl_has_its_layers_at_32x32_and_the_known_size_and_cost() -> None:
    unet = meta_unet(SDXL)
    assert sum(p.numel() for p in unet.parameters()) == 2_567_463_684
    layers, side = loss_layers(unet, 1024)
    assert side == 32
    assert sorted(layers) == sorted(
        f"{block}.attentions.{i}.transformer_blocks.{k}.attn2"
        for block, count in (("down_blocks.2", 2), ("up_blocks.0", 3))
        for i in range(count)
        for k in range(10)
    )
    assert all(unet.get_submodule(name).heads == 20 for name in layers)
    # 2.99 T multiply-adds in its layers; 0.43 and 0.35 TFLOP in the attention products at 64x64 and 32x32.
    assert unet_forward_tflop(unet, 77) == pytest.approx(5.98 + 0.43 + 0.35, abs=0.01)


def test_what_can_be_said_of_an_sdxl_without_loading_it(legacy_dir: Path) -> None:
    assert model_side(str(legacy_dir)) == 64
    assert check_layout(str(legacy_dir))["_class_name"] == "StableDiffusionXLPipeline"
    assert scene_cost(tiny_spec(legacy_dir))["forward_tflop"] > 0


def test_parts_that_do_not_fit_together_are_one_readable_error(tmp_path: Path) -> None:
    directory = build_tiny_sdxl(tmp_path / "xl")
    config = directory / "unet" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"addition_embed_type": None}))
    with pytest.raises(SpecError, match=r"models\.base: .*takes no pooled text"):
        load_base(str(directory), None, torch.float32, "cpu")
    config.write_text(json.dumps(content))
    second = CLIPTextModelWithProjection.from_pretrained(directory, subfolder="text_encoder_2").config
    second.hidden_size = 24
    CLIPTextModelWithProjection(second).save_pretrained(tmp_path / "xl" / "text_encoder_2")
    with pytest.raises(SpecError, match=r"models\.base: .*do not fit together.*width 80.*give 56 and 88"):
        load_base(str(directory), None, torch.float32, "cpu")
    vae = build_tiny_sdxl(tmp_path / "shifted") / "vae" / "config.json"
    vae.write_text(json.dumps(json.loads(vae.read_text()) | {"latents_mean": [0.0] * 4}))
    with pytest.raises(SpecError, match="latents_mean"):
        load_base(str(tmp_path / "shifted"), None, torch.float32, "cpu")
