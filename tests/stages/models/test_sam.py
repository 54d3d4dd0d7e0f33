"""Loading a SAM: the seedling's folder, an official checkpoint's shapes, and one clear error for anything else."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from models.training.masks.answers import decode, embed_points
from models.training.masks.train import CONFIG
from schemas.errors import SpecError
from schemas.spec_file import load_spec
from stages.models.sam import _local, build_sam, load_sam
from stages.models.sam_files import check_sam
from stages.segment.sam.proposer import Proposer
from tests.support import ROOT

SEEDLING = ROOT / "models" / "seedling" / "sam"


def test_a_folder_comes_back_as_it_was_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sam = build_sam(CONFIG)
    save_file({name: value.half() for name, value in sam.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    loaded = load_sam(str(tmp_path), "cpu")
    assert not loaded.training
    assert loaded.image_encoder.img_size == CONFIG["image_size"]
    for name, value in sam.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.allclose(loaded.state_dict()[name], value, atol=2e-3), name


def test_an_official_checkpoint_is_told_by_its_shapes(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {
            name: value.shape for name, value in sam_model_registry["vit_b"](checkpoint=None).state_dict().items()
        }
    # One stored number per tensor, seen at the full shape: the real file would be 375 MB.
    torch.save(
        {name: torch.full((1,), 0.5).expand(shape) for name, shape in shapes.items()}, tmp_path / "named_oddly.pth"
    )
    sam = load_sam(str(tmp_path / "named_oddly.pth"), "cpu")
    assert len(sam.image_encoder.blocks) == 12
    assert float(sam.mask_decoder.iou_token.weight.detach()[0, 0]) == 0.5
    assert is_mapped(tmp_path / "named_oddly.pth") or not Path("/proc/self/maps").exists()


def is_mapped(file: Path) -> bool:
    """Whether this process holds pages of the file, which it shares with whoever else does."""
    maps = Path("/proc/self/maps")
    return maps.exists() and str(file) in maps.read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells")
def test_workers_of_a_machine_hold_one_copy_of_the_weights(tmp_path: Path) -> None:
    """Each had its own: 32 workers of four to a GPU, 77 GB of the largest SAM."""
    sam = build_sam(CONFIG)
    save_file(sam.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    loaded = load_sam(str(tmp_path), "cpu")
    assert is_mapped(tmp_path / "model.safetensors")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in sam.state_dict().items())


def test_what_is_no_sam_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="models.sam: .*no such file"):
        load_sam(str(tmp_path / "absent.pth"), "cpu")
    with pytest.raises(SpecError, match="models.sam: .*download failed .*check the URL"):
        load_sam("memory://absent.pth", "cpu")
    for ask in (check_sam, lambda name: load_sam(name, "cpu")):
        with pytest.raises(SpecError, match="models.sam: file://.*no such file"):
            ask((tmp_path / "absent.pth").as_uri())
    with pytest.raises(SpecError, match="not a Segment Anything model"):
        load_sam(str(tmp_path), "cpu")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save({"image_encoder.patch_embed.proj.weight": torch.zeros(5, 3, 4, 4)}, tmp_path / "odd.pth")
    for name in ("text.pth", "other.pth", "odd.pth"):
        with pytest.raises(SpecError, match=f"{name}: not a Segment Anything model"):
            load_sam(str(tmp_path / name), "cpu")


def test_the_judges_own_is_named_by_its_field(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a checkpoint")
    for name, sentence in (("absent.pth", "no such file"), ("text.pth", "not a Segment Anything model")):
        with pytest.raises(SpecError, match=rf"^evaluate\.sam: .*{sentence}"):
            load_sam(str(tmp_path / name), "cpu", "evaluate.sam")
    with pytest.raises(SpecError, match=r"^evaluate\.sam: .*it has no config\.json"):
        check_sam(str(tmp_path), "evaluate.sam")


def test_workers_that_start_together_download_once_and_see_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/models/sam.pth", b"weights")
    opened: list[str] = []
    gate = threading.Barrier(4)

    def slow(fs: MemoryFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        opened.append(path)
        time.sleep(0.2)
        if len(opened) == 1:
            raise OSError("connection reset")
        return open_(fs, path, *args, **kwargs)

    open_ = MemoryFileSystem._open
    monkeypatch.setattr(MemoryFileSystem, "_open", slow)
    with pytest.raises(SpecError, match="connection reset"):
        _local("memory://models/sam.pth")
    left = [file.suffix for file in (tmp_path / "home" / ".cache" / "unscene").iterdir()]
    assert left == [".lock"], "nothing of a failed download is kept"

    def worker(number: int) -> bytes:
        gate.wait()
        return _local("memory://models/sam.pth").read_bytes()

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(worker, range(4))) == [b"weights"] * 4
    assert len(opened) == 2, "once in vain, once for all four"


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"image_encoder.patch_embed.proj.weight": _Touch(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(SpecError):
        load_sam(str(tmp_path / "evil.pth"), "cpu")
    assert not (tmp_path / "ran").exists()


def test_training_decodes_as_segment_anything_does() -> None:
    torch.manual_seed(0)
    sam = build_sam(CONFIG).eval()
    points, labels = torch.tensor([[[10.0, 20.0], [0.0, 0.0]]]), torch.tensor([[1, -1]])
    with torch.no_grad():
        image = sam.image_encoder(torch.randn(1, 3, 128, 128))
        sparse, dense = sam.prompt_encoder((points[:, :1], labels[:, :1]), None, None)
        positions = sam.prompt_encoder.get_dense_pe()
        wanted = sam.mask_decoder.predict_masks(image, positions, sparse, dense)
        ours = decode(sam.mask_decoder, image, positions, embed_points(sam.prompt_encoder, points, labels), dense)
    assert torch.allclose(ours[0], wanted[0], atol=1e-5)
    assert torch.allclose(ours[1], wanted[1], atol=1e-5)


def test_the_seedling_finds_the_objects_of_the_demo() -> None:
    proposer = Proposer(load_sam(str(SEEDLING), "cpu"), load_spec(ROOT / "jobs" / "demo.yaml").segment)
    truth = ROOT / "demo" / "truth"
    scores = []
    for path in sorted((ROOT / "demo" / "bucket").glob("scene-*"))[:5]:
        image = Image.open(path).convert("RGB")
        if image.width != image.height:
            continue
        found = [p.mask for p in proposer.propose(np.asarray(image.resize((64, 64), Image.Resampling.BOX)))]
        for mask_path in sorted(truth.glob(f"{path.stem}.mask*.png")):
            wanted = np.asarray(Image.open(mask_path).resize((64, 64)))
            scores.append(max(((m & wanted).sum() / (m | wanted).sum() for m in found), default=0.0))
    assert np.mean(scores) >= 0.7, f"mean best IoU of {len(scores)} objects: {np.mean(scores):.2f}"


RELATIVES = {
    "SAM-HQ": ({"mask_decoder.hf_token.weight": 1, "image_encoder.patch_embed.proj.weight": 1}, "is SAM-HQ "),
    "SAM 2": ({"model": {"image_encoder.trunk.pos_embed": 1, "memory_attention.norm.weight": 1}}, "is SAM 2 "),
    "SAM 3": ({"detector.backbone.vision_backbone.trunk.pos_embed": 1}, "is SAM 3 "),
    "MobileSAM": (
        {"image_encoder.patch_embed.seq.0.c.weight": 1, "image_encoder.layers.0.x.weight": 1},
        "is MobileSAM ",
    ),
    "transformers'": ({"vision_encoder.patch_embed.projection.weight": 1}, "is a SAM in transformers' layout "),
    "LoRA": ({"image_encoder.blocks.0.attn.qkv.lora_A.weight": 1}, "holds an adapter that was not merged"),
    "none": ({"backbone.conv1.weight": 1}, "not a Segment Anything model"),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_its_relatives_are_told_by_name_before_and_after_loading(name: str, tmp_path: Path) -> None:
    state, sentence = RELATIVES[name]
    fill = lambda tree: {k: fill(v) if isinstance(v, dict) else torch.zeros(2) for k, v in tree.items()}  # noqa: E731
    file = tmp_path / "checkpoint.pth"
    torch.save(fill(state), file)
    for ask in (lambda: check_sam(str(file)), lambda: load_sam(str(file), "cpu")):
        with pytest.raises(SpecError, match=rf"^models\.sam: .*{sentence}.*; (name an official|merge it)") as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04cut"]
)
def test_a_file_that_is_no_checkpoint_is_told_before_loading(data: bytes, tmp_path: Path) -> None:
    """As a download that a login page answered, or a pointer of Git LFS, under the official name."""
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(data)
    for ask in (
        lambda: check_sam(str(tmp_path / "sam_vit_b_01ec64.pth")),
        lambda: load_sam(str(tmp_path / "sam_vit_b_01ec64.pth"), "cpu"),
    ):
        with pytest.raises(SpecError, match=r"^models\.sam: .*not a Segment Anything model \(.*name an official"):
            ask()


def test_an_old_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    check_sam(str(tmp_path / "old.pth"))


def test_a_folder_of_transformers_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam2"}))
    save_file({"vision_encoder.neck.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    for ask in (lambda: check_sam(str(tmp_path)), lambda: load_sam(str(tmp_path), "cpu")):
        with pytest.raises(SpecError, match=r"is a sam2 in transformers' layout.*name an official"):
            ask()


def official() -> dict[str, torch.Tensor]:
    """One stored number a tensor, seen at the full shape: the real file would be 375 MB."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in sam_model_registry["vit_b"](checkpoint=None).state_dict().items()}
    return {name: torch.full((1,), 0.5).expand(shape) for name, shape in shapes.items()}


def test_what_training_scripts_put_around_the_weights_is_taken_off(tmp_path: Path) -> None:
    wrapped = {"model": {f"module.{name}": value for name, value in official().items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "tuned.pth")
    check_sam(str(tmp_path / "tuned.pth"))
    assert float(load_sam(str(tmp_path / "tuned.pth"), "cpu").mask_decoder.iou_token.weight.detach()[0, 0]) == 0.5
    torch.save({"model": official(), "model_ema": official()}, tmp_path / "both.pth")
    with pytest.raises(SpecError, match=r"both\.pth holds several sets of weights \(model, model_ema\); save the one"):
        load_sam(str(tmp_path / "both.pth"), "cpu")


def test_weights_that_are_lost_or_too_many_are_named(tmp_path: Path) -> None:
    whole = official()
    for state, sentence in (
        (
            {k: v for k, v in whole.items() if "blocks.7." not in k},
            r"it lacks image_encoder\.blocks\.7\..* and 13 more; ",
        ),
        (whole | {"image_encoder.adapter.weight": torch.zeros(2)}, "no place for, image_encoder.adapter.weight; name"),
        (whole | {"mask_decoder.iou_token.weight": torch.zeros(2, 256)}, "in another shape mask_decoder.iou_token"),
    ):
        torch.save(state, tmp_path / "sam.pth")
        with pytest.raises(SpecError, match=f"not a Segment Anything model: .*{sentence}"):
            load_sam(str(tmp_path / "sam.pth"), "cpu")
