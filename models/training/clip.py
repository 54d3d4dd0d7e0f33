"""Train the seedling's judge: a small CLIP that knows every sprite of the world by name, the held-out ones included.

    python -m models.training.clip --sprites assets --work runs/clip --out models/seedling/clip --device cuda

It scores what the base model makes and is never part of it. Whole scenes with their captions teach it to read prompts;
single objects on black, two views of each, teach it to tell one sprite from another.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from models.training import tokenizer as vocabulary
from models.training.clip_losses import ANY_PLACE, Facts, picture_caption_loss, sprite_loss
from models.training.clip_pool import ClipPool, Roster, Sightings, render_pool
from models.training.clip_views import junk_views, object_views, scene_views
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.sprites import FIRST, HELD_OUT, TRAINING, SpriteName, named_roster
from models.training.tokenizer import WordTokens
from models.training.towers import ClipSize, Towers, build_clip, export
from models.training.world import World, world_settings

IDENTITY_WEIGHT = 0.5
"""Of the sprites' contrast beside the captions'."""

JUNK_SHARE = 16
"""One picture of nothing for so many of objects."""

CHECK_SCENES = 1024
"""The pool's last scenes, never trained on."""


def judged_roster(kind: str, folder: Path) -> tuple[int, tuple[SpriteName, ...]]:
    """The sprites that the judge learns, and how many at their head make half of the scenes: those that the base is
    trained on and the held-out ones. In the calm world the others are `TRAINING`, in the full one every sprite there
    is, under its Unicode name."""
    first = {sprite.code: sprite for sprite in (*(FIRST if kind == "calm" else TRAINING), *HELD_OUT)}
    others = TRAINING if kind == "calm" else named_roster(folder)
    return len(first), (*first.values(), *(sprite for sprite in others if sprite.code not in first))


def build(tokenizer: CLIPTokenizer, side: int = 64, width: int = 256, layers: int = 6) -> CLIPModel:
    """An untrained CLIPModel of about 6 M parameters; with another `width` and `layers`, one of another size."""
    size = ClipSize(side, 8, width, layers, width * 3 // 4, max(1, layers // 2), max(1, width // 64))
    return build_clip(tokenizer, size)


class Lesson:
    """Draws batches from the pool and gives their loss. All of it stays on the device."""

    def __init__(self, pool: ClipPool, roster: Roster, tokens: WordTokens, favoured: int) -> None:
        self.pool, self.nouns = pool, len(roster.nouns)
        self.sightings = Sightings(pool, favoured)
        device = str(pool.images.device)
        self.single_ids, self.single_claims = (part.to(device) for part in roster.single_captions(tokens))
        self.noun_of = self.single_claims[:, 0]

    def loss(self, towers: Towers, batch: int) -> tuple[Tensor, Tensor]:
        """Captions' loss and sprites' loss, scalars: `batch` scenes, `batch` objects (two views of each sprite), and
        pictures of nothing; two captions a scene, right and nearly right, one a sprite."""
        pool, device = self.pool, self.pool.images.device
        rows = torch.randint(len(pool.images), (batch,), device=device)
        draw = torch.randint(pool.tokens.shape[1], (batch,), device=device)
        sprites, scenes, slots = self.sightings.draw(batch // 2)
        way = torch.randint(self.single_ids.shape[1], (batch // 2,), device=device)
        junk = max(1, batch // JUNK_SHARE)
        objects, grounded = object_views(pool, scenes.flatten(), slots.flatten())
        nothing = junk_views(pool, scenes[0, :junk], slots[0, :junk])
        pictures = towers.pictures(torch.cat([scene_views(pool, rows), objects, nothing]))
        ids = torch.cat([pool.tokens[rows, draw].transpose(0, 1).flatten(0, 1), self.single_ids[sprites, way]])
        claims = torch.cat([pool.claims[rows, draw].transpose(0, 1).flatten(0, 1), self.single_claims[sprites]])

        nouns = torch.full((len(pictures), 4), -1, device=device, dtype=torch.int16)
        nouns[:batch] = pool.nouns[rows]
        nouns[batch : 2 * batch - batch % 2, 0] = self.noun_of[sprites].repeat(2)
        places = torch.full((len(pictures),), -1, device=device, dtype=torch.int16)
        places[:batch] = pool.places[rows]
        places[batch : batch + len(grounded)] = torch.where(grounded, ANY_PLACE, -1).to(torch.int16)
        single = 2 * batch + torch.arange(batch // 2, device=device).repeat(2)
        own = torch.cat([torch.arange(batch, device=device), single, torch.full((junk,), -1, device=device)])
        scale = towers.model.logit_scale.exp().clamp(max=60.0)
        captions = towers.captions(ids)
        reading = picture_caption_loss(pictures, captions, scale, own, Facts(nouns, places), claims, self.nouns)
        telling = sprite_loss(pictures[batch:], torch.cat([sprites.repeat(2), torch.full((junk,), -1, device=device)]))
        return reading, telling


@torch.no_grad()
def check(towers: Towers, pool: ClipPool, favoured: int) -> str:
    """Of unseen scenes: how often the right caption is first of 100, and the nearest of 200 objects the same sprite's
    other view. One line of text."""
    size = 100
    hits = []
    for first in range(0, len(pool.images) - size + 1, size):
        rows = torch.arange(first, first + size, device=pool.images.device)
        pictures = pool.images[rows].permute(0, 3, 1, 2).float() / 255
        scores = towers.pictures(pictures) @ towers.captions(pool.tokens[rows, 0, 0]).T
        hits.append((scores.argmax(1) == torch.arange(size, device=scores.device)).float().mean())
    _, scenes, slots = Sightings(pool, favoured).draw(size)
    views = towers.pictures(object_views(pool, scenes.flatten(), slots.flatten())[0]).view(2, size, -1)
    nearest = (views[0] @ views[1].T).argmax(1) == torch.arange(size, device=views.device)
    found = torch.stack(hits).mean().item() if hits else float("nan")
    return f"caption first of 100: {found:.3f}, sprite first of {size}: {nearest.float().mean().item():.3f}"


def through_autoencoder(pool: ClipPool, folder: Path, share: float, batch: int = 512) -> None:
    """Replace the first `share` of the pool's scenes by what the autoencoder in `folder` makes of them: a generated
    picture can be no sharper."""
    from diffusers import AutoencoderKL  # needed here alone, and a machine for training may lack it

    device = pool.images.device
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).to(device).eval()
    with torch.no_grad():
        for first in range(0, int(share * len(pool.images)), batch):
            pictures = pool.images[first : first + batch].permute(0, 3, 1, 2).float() / 127.5 - 1
            output = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
            pool.images[first : first + batch] = (output.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).byte()


def prepare(args: argparse.Namespace) -> tuple[CLIPTokenizer, Roster, WordTokens, ClipPool, int]:
    """The tokenizer (kept in --work), the roster, the pool on the device, and how many sprites it favours."""
    began = time.monotonic()
    favoured, sprites = judged_roster(args.world, args.sprites)
    roster = Roster(sprites)
    words = list(dict.fromkeys([*vocabulary.world_words(), *vocabulary.roster_words(roster.sprites)]))
    tokenizer = vocabulary.build(args.work / "tokenizer", words)
    tokens = WordTokens(tokenizer, words, tokenizer.model_max_length)
    print(f"clip: {len(roster.sprites)} sprites, {len(tokenizer)} tokens", flush=True)
    worlds = tuple(
        World(world_settings(args.world, args.sprites, names, seed=args.seed + 20 + number))
        for number, names in enumerate((sprites[:favoured], sprites))
    )
    pool = render_pool(worlds, roster, tokens, args.scenes + CHECK_SCENES, args.workers)
    print(f"clip: {len(pool.images)} scenes rendered after {time.monotonic() - began:.0f} s", flush=True)
    pool = pool.to(args.device)
    if args.vae:
        through_autoencoder(pool.part(slice(0, len(pool.images) - CHECK_SCENES)), args.vae, 0.3)
        print(f"clip: through the autoencoder after {time.monotonic() - began:.0f} s", flush=True)
    return tokenizer, roster, tokens, pool, favoured


def train(args: argparse.Namespace) -> None:
    """Train for the budget; state and an export every few minutes."""
    tokenizer, roster, tokens, pool, favoured = prepare(args)
    unseen = pool.part(slice(len(pool.images) - CHECK_SCENES, None))
    lesson = Lesson(pool.part(slice(0, len(pool.images) - CHECK_SCENES)), roster, tokens, favoured)
    towers = Towers(build(tokenizer, width=args.width, layers=args.layers), args.device).train()
    average = Average(towers.model, decay=0.998)
    optimizer = torch.optim.AdamW(
        towers.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    budget, step = Budget(args.minutes, args.save_every), 0
    if state := load_state(args.work / "state.pt", args.resume):
        towers.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
        budget.resume(state["minutes"])
    while (share := budget.tick()) < 1 or step == 0:
        set_learning_rate(optimizer, args.learning_rate, step, share, args.warm_up)
        reading, telling = lesson.loss(towers, args.batch)
        optimizer.zero_grad()
        (reading + IDENTITY_WEIGHT * telling).backward()
        torch.nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        optimizer.step()
        average.update(towers.model, step)
        step += 1
        if step % args.report_every == 0:  # reading a number waits for the device, so seldom
            values = f"captions {reading.item():.4f} sprites {telling.item():.4f}"
            if not math.isfinite(reading.item() + telling.item()):
                raise FloatingPointError(f"{values} at step {step}; start again with a lower --learning-rate")
            scale = towers.model.logit_scale.exp().item()
            print(f"clip step {step} minutes {budget.used:.2f} {values} scale {scale:.1f}", flush=True)
        if budget.state_due():
            saved = {"model": towers.model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})
            export(towers.model, average, args.work / "tokenizer", args.out)
    export(towers.model, average, args.work / "tokenizer", args.out)
    average.copy_to(towers.model)
    print(f"clip done: {step} steps of {args.batch} scenes; {check(towers.eval(), unseen, favoured)}", flush=True)


def main() -> None:
    """Read the options and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=4, batch=1024, learning_rate=1e-3)
    parser.add_argument("--scenes", type=int, default=100_000, help="scenes in the pool")
    parser.add_argument("--vae", type=Path, help="autoencoder's folder: three in ten scenes are seen through it")
    parser.add_argument("--width", type=int, default=256, help="of the picture encoder")
    parser.add_argument("--layers", type=int, default=6, help="of the picture encoder")
    parser.add_argument("--warm-up", type=int, default=200, help="steps; on a CPU a budget may hold but a few hundred")
    parser.add_argument("--report-every", type=int, default=100, help="steps between progress lines")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args)


if __name__ == "__main__":
    main()
