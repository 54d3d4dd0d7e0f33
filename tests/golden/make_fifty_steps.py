"""Writes tests/golden/fifty_steps.json, the stored run that tests/golden/test_fifty_steps.py compares with.

    python -m tests.golden.make_fifty_steps

Only for a change that is meant to change results; say in the commit which and why. Prints how far the new curves are
from the old ones.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from schemas.job import Extract
from stages.extract.method.latents import encode_scene
from stages.extract.training.trainer import Trainer, TrainingScene
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from tests.support.tiny_models import build_tiny_model, tiny_picture

FILE = Path(__file__).with_name("fifty_steps.json")
COMMAND = "python -m tests.golden.make_fifty_steps"
SEED, RANK, STEPS = 0, 4, 25
WORDS = {"two": [(200,), (203,)], "three": [(201,), (205,), (207,)]}
"""Scene -> token ids that its handles start from: 2 and 3 concepts in one batch."""


def run(directory: Path) -> dict[str, Any]:
    """Trains on a new tiny model in `directory`. Scene -> `curves` [50, 3] and `handle_norms` [N]."""
    settings = Extract.model_validate(
        {
            "phase1": {"steps": STEPS, "lr": 5e-3},
            "phase2": {"steps": STEPS, "lr": 1e-3},
            "lora": {"rank": RANK, "targets": "attention", "text_encoder": True},
        }
    )
    base = load_base(str(build_tiny_model(directory, "epsilon")), None, torch.float32, "cpu")
    model, scenes = SceneModel(base, settings.placeholder), []
    for number, (name, words) in enumerate(WORDS.items()):
        picture, masks = tiny_picture(number + 1, len(words))
        latents = encode_scene(
            base, torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1, torch.from_numpy(masks), model.recorder.side
        )
        scenes.append(TrainingScene(name, words, latents))
    prior = torch.randn(4, *base.latent_shape, generator=torch.Generator().manual_seed(SEED))
    return {
        result.scene_id: {
            "curves": [[float(f"{value:.8g}") for value in step] for step in result.curves.tolist()],
            "handle_norms": [float(f"{value:.8g}") for value in result.handles.norm(dim=1).tolist()],
            "lora_norm": float(f"{torch.cat([t.flatten() for t in result.lora.values()]).norm():.8g}"),
        }
        for result in Trainer(model, settings, SEED, prior).train(scenes)
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        new = run(Path(directory))
    if FILE.exists():
        old = json.loads(FILE.read_text())
        for name in sorted(set(old) & set(new)):
            before, after = (torch.tensor(each[name]["curves"]) for each in (old, new))
            if before.shape == after.shape:
                worst = ((after - before).abs() / before.abs().clamp_min(1e-12)).amax().item()
                print(f"{name}: largest relative change of a loss term {worst:.1e}")
    # One step a line, so that a diff shows which have changed.
    body = [
        f'{json.dumps(name)}: {{\n"curves": [\n'
        + ",\n".join(json.dumps(step) for step in scene["curves"])
        + "],\n"
        + ",\n".join(f"{json.dumps(key)}: {json.dumps(scene[key])}" for key in scene if key != "curves")
        + "}"
        for name, scene in new.items()
    ]
    FILE.write_text("{\n" + ",\n".join(body) + "\n}\n")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
