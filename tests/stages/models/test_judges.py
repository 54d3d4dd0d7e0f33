"""The models that judge pictures, on tiny random ones saved in the real format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoProcessor, CLIPModel, Dinov2Model, ViTModel

from schemas.errors import SpecError
from stages.models.clip import BATCH, load_clip
from stages.models.identity import load_identity
from stages.models.judge_files import check_judge
from stages.models.place import ModelField, model_revision
from tests.support.tiny_judges import build_tiny_clip, build_tiny_dino, build_tiny_dinov2

TEXTS = ["a photo of a cat in the snow", "a dog", "a photo of a ball and a car at the beach"]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("judges") / "clip")


def test_clip_gives_what_transformers_own_processor_and_model_give(clip_folder: Path, pictures: np.ndarray) -> None:
    judge = load_clip(str(clip_folder))
    inputs = AutoProcessor.from_pretrained(clip_folder)(
        images=[Image.fromarray(p) for p in pictures], text=TEXTS, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(clip_folder).eval()(**inputs)
    torch.testing.assert_close(judge.image_features(pictures), expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(judge.text_features(TEXTS), expected.text_embeds, atol=1e-5, rtol=0)


def test_features_have_unit_length_and_do_not_depend_on_company(clip_folder: Path) -> None:
    judge = load_clip(str(clip_folder))
    many = np.random.default_rng(1).integers(0, 256, (BATCH + 2, 32, 32, 3), dtype=np.uint8)
    features = judge.image_features(many)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(BATCH + 2))
    torch.testing.assert_close(features[-1:], judge.image_features(many[-1:]), atol=1e-5, rtol=0)
    texts = judge.text_features(TEXTS)  # the shorter ones are padded, which must not show
    torch.testing.assert_close(texts[1:2], judge.text_features(TEXTS[1:2]), atol=1e-5, rtol=0)
    assert judge.image_features(many[:0]).shape == (0, features.shape[1])


def test_a_text_too_long_is_cut(clip_folder: Path) -> None:
    judge = load_clip(str(clip_folder))
    assert torch.isfinite(judge.text_features(["a photo of " + "cat and dog " * 40])).all()


@pytest.mark.parametrize(("build", "kind"), [(build_tiny_dino, ViTModel), (build_tiny_dinov2, Dinov2Model)])
def test_dino_gives_the_cls_token_after_the_last_norm(
    build: Callable[[Path], Path], kind: type[ViTModel | Dinov2Model], tmp_path: Path, pictures: np.ndarray
) -> None:
    folder = build(tmp_path / "dino")
    inputs = AutoImageProcessor.from_pretrained(folder)(
        images=[Image.fromarray(p) for p in pictures], return_tensors="pt"
    )
    with torch.no_grad():
        states = kind.from_pretrained(folder).eval()(**inputs, output_hidden_states=True)
    model = load_identity(str(folder)).model
    expected = model.layernorm(states.hidden_states[-1])[:, 0]
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(load_identity(str(folder)).features(pictures), expected, atol=1e-5, rtol=0)


def test_identity_by_a_clip_is_its_image_features(clip_folder: Path, pictures: np.ndarray) -> None:
    expected = load_clip(str(clip_folder)).image_features(pictures)
    torch.testing.assert_close(load_identity(str(clip_folder)).features(pictures), expected)


def test_half_precision_is_near(clip_folder: Path, pictures: np.ndarray) -> None:
    full, half = (
        load_clip(str(clip_folder), dtype=dtype).image_features(pictures) for dtype in (torch.float32, torch.bfloat16)
    )
    assert half.dtype == torch.float32
    assert (full * half).sum(1).min() > 0.99


def test_errors_name_the_field_and_the_remedy(clip_folder: Path, tmp_path: Path) -> None:
    dino = build_tiny_dino(tmp_path / "dino")
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    shutil.copytree(dino, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    bare = tmp_path / "bare"
    shutil.copytree(clip_folder, bare)
    (bare / "preprocessor_config.json").unlink()
    cases: list[tuple[Callable[[str], object], Path, str]] = [
        (load_clip, dino, r"models\.clip: .*no CLIP model.*'vit'.*openai/clip-vit-large-patch14"),
        (load_clip, tmp_path / "no" / "such" / "folder", r"models\.clip: there is no directory"),
        (load_clip, tmp_path / "empty", r"models\.clip: cannot read config\.json"),
        (load_clip, bare, r"models\.clip: .*could not be loaded"),
        (load_identity, other, r"models\.identity: .*neither DINO, DINOv2 nor CLIP.*'bert'.*facebook/dino-vitb16"),
        (load_identity, bare, r"models\.identity: .*could not be loaded"),
        (load_identity, tmp_path / "empty", r"models\.identity: cannot read config\.json"),
    ]
    for load, place, sentence in cases:
        with pytest.raises(SpecError, match=sentence) as caught:
            load(str(place))
        assert "\n" not in str(caught.value)


def test_a_checkpoint_with_a_part_missing_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(SpecError, match=r"models\.clip: .*lacks weights of a CLIPModel \(visual_projection\.weight"):
        load_clip(str(folder))


def test_revision_follows_the_weights(clip_folder: Path, tmp_path: Path) -> None:
    other = build_tiny_clip(tmp_path / "clip", seed=1)
    assert model_revision(str(clip_folder), "models.clip") == model_revision(str(clip_folder), "models.identity")
    assert model_revision(str(clip_folder), "models.clip") != model_revision(str(other), "models.clip")


def changed(folder: Path, copy: Path, file: str, **fields: object) -> Path:
    shutil.copytree(folder, copy)
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | fields))
    return copy


def test_a_judge_is_read_whole_or_refused_before_anything_starts(clip_folder: Path, tmp_path: Path) -> None:
    """A DINOv2 takes pictures of any size; what else does not fit is told by the files and by what loads of them."""
    dino, dinov2 = build_tiny_dino(tmp_path / "dino"), build_tiny_dinov2(tmp_path / "dinov2")
    large = {"height": 48, "width": 48}
    lost = changed(dino, tmp_path / "lost", "config.json", num_hidden_layers=3)
    more = changed(dino, tmp_path / "more", "config.json", num_hidden_layers=1)
    tuned = shutil.copytree(clip_folder, tmp_path / "tuned")
    weights = load_file(tuned / "model.safetensors")
    weights["vision_model.encoder.layers.0.self_attn.q_proj.lora_A.default.weight"] = torch.zeros(4, 32)
    save_file(weights, tuned / "model.safetensors", {"format": "pt"})
    cut = shutil.copytree(dino, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((dino / "model.safetensors").read_bytes()[:-9])
    cases: list[tuple[ModelField, Path, str]] = [
        ("models.identity", changed(dino, tmp_path / "a", "preprocessor_config.json", size=large), "48 x 48 pixels"),
        ("models.clip", changed(clip_folder, tmp_path / "b", "preprocessor_config.json", crop_size=large), "48 x 48"),
        ("models.identity", lost, "lacks weights of "),
        ("models.identity", more, "holds weights that .* does not read"),
        ("models.clip", tuned, "holds an adapter that was not merged"),
        ("models.identity", cut, r"model\.safetensors is cut short|could not be loaded"),
    ]
    for field, folder, sentence in cases:
        load = load_identity if field == "models.identity" else load_clip
        for ask in (lambda: check_judge(str(folder), field), lambda: load(str(folder))):  # noqa: B023
            with pytest.raises(SpecError, match=rf"^{field}: .*{sentence}.*; ") as caught:
                ask()
            assert "\n" not in str(caught.value)
    other = changed(dinov2, tmp_path / "c", "preprocessor_config.json", crop_size=large)
    for field, folder in (
        ("models.identity", other),
        ("models.identity", dino),
        ("models.identity", clip_folder),
        ("models.clip", clip_folder),
    ):
        check_judge(str(folder), field)
    assert load_identity(str(other)).features(np.zeros((1, 48, 48, 3), np.uint8)).shape == (1, 32)
