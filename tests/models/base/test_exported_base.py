"""What training writes is fit to be committed."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers import AutoencoderKL, StableDiffusionPipeline

from models.training.base.parts import export
from tests.support import ROOT

SEEDLING = ROOT / "models" / "seedling" / "base"


def test_an_exported_base_does_not_say_where_its_parts_came_from(tmp_path: Path) -> None:
    vae = AutoencoderKL.from_pretrained(SEEDLING / "vae")  # as training reads the one trained before
    assert vae.config["_name_or_path"]
    export(StableDiffusionPipeline.from_pretrained(SEEDLING, vae=vae), tmp_path / "base")
    written = sorted((tmp_path / "base").rglob("*.json"))
    assert len([file for file in written if file.name == "config.json"]) == 3
    for file in written:
        assert "_name_or_path" not in json.loads(file.read_text()), file
    loaded = AutoencoderKL.from_pretrained(tmp_path / "base" / "vae")
    assert loaded.config.scaling_factor == vae.config.scaling_factor
