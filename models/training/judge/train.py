"""Train the judge of toys: a small CLIP that reads silhouette, colour and pattern apart, the held-out toys' included.

    python -m models.training.judge.train --vae runs/vae/final --work runs/clip --out models/seedling/clip --threads 1

It scores what the base model makes and is never part of it. Whole scenes with their captions teach it to read prompts;
single toys on black, two views of each beside toys that differ from it in one fact, to tell one toy from another. The
same command goes on from the last state; two processes of one thread (`models.training.workers`) make use of two cores.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel, CLIPTokenizer

from models.training.base.dense import DenseHead
from models.training.judge.captions import ToyFacts, describe_fully
from models.training.judge.claims import FACTS, ROSTER
from models.training.judge.lesson import Lesson
from models.training.judge.reading import FactReader, facts_right, pairs_by_difference
from models.training.judge.scenes import VISIBLE_PIXELS, JudgedScenes, judged_world, make_scenes, open_scenes
from models.training.judge.scores import chance_above, retrieval, share
from models.training.judge.towers import ClipSize, Towers, build_clip, export, place_patches
from models.training.precision import half_precision
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.workers import Workers, join_workers
from models.training.world import tokenizer as vocabulary
from models.training.world.tokenizer import WordTokens

SIZE = ClipSize(side=128, patch=16, width=192, layers=5, text_width=128, text_layers=2, heads=4)
"""2.5 M parameters."""
FOUND_AT = 0.8
"""The cosine from which on two toys count as the same; `evaluate.found_at: auto` comes to the like of it."""
CHECK_SCENES = 400
"""The last scenes, never trained on."""
GROUP = 100
"""Pictures and captions that retrieval chooses among."""


@torch.no_grad()
def check(towers: Towers, tokens: WordTokens, unseen: JudgedScenes) -> str:
    """One line on unseen scenes, as they are: how often the right caption is first of `GROUP`; of toys masked on black,
    how often each fact is read; and whether `FOUND_AT` parts the same toy from those of one other fact."""
    device = unseen.images.device

    def texts(captions: list[str]) -> torch.Tensor:
        ids = torch.stack([torch.from_numpy(tokens(text)) for text in captions])
        return towers.captions(ids.to(device))

    hits, views, toys = [], [], []
    for first in range(0, len(unseen) - GROUP + 1, GROUP):
        rows = torch.arange(first, first + GROUP, device=device)
        pictures = unseen.images[rows].permute(0, 3, 1, 2).float() / 255
        group = unseen.part(slice(first, first + GROUP))
        captions = [describe_fully(*told) for told in zip(facts_of(group), group.places.tolist(), strict=True)]
        hits.append(retrieval(towers.pictures(pictures).cpu(), texts(captions).cpu())[0])
        where, slots = np.nonzero(group.toys >= 0)
        masks = group.mask(torch.from_numpy(where).to(device), torch.from_numpy(slots).to(device))
        large = (masks.sum((1, 2, 3)) >= VISIBLE_PIXELS).cpu().numpy()
        views.append(towers.pictures((pictures[where] * masks)[large]).cpu())
        toys += group.toys[where, slots][large].tolist()
    features, facts = torch.cat(views), torch.tensor([FACTS[toy] for toy in toys])
    read = FactReader(lambda captions: texts(captions).cpu()).read(features)
    same, *near_ones, _ = pairs_by_difference(features, facts).values()
    near = torch.cat(near_ones)
    return (
        f"caption first of {GROUP}: {sum(hits) / len(hits):.3f}; masked toys: {facts_right(read, facts)}; "
        f"at {FOUND_AT:g} same toy {share(same >= FOUND_AT):.3f}, one fact off {share(near < FOUND_AT):.3f} right, "
        f"above it {chance_above(same, near):.4f}"
    )


def facts_of(scenes: JudgedScenes) -> list[list[ToyFacts]]:
    """The facts of each scene's toys."""
    return [[FACTS[toy] for toy in toys if toy >= 0] for toys in scenes.toys.tolist()]


def load_scenes(args: argparse.Namespace, workers: Workers) -> tuple[JudgedScenes, JudgedScenes]:
    """Those to train on and the unseen ones, made by the leader while the others wait."""
    settings, folder = judged_world(args.seed + 20), args.work / "scenes"
    count = args.scenes + CHECK_SCENES
    if workers.leads:
        make_scenes(settings, count, args.scenes, args.vae, folder, args.workers, args.device)
        print(f"clip: {count} scenes of {len(ROSTER)} toys ready", flush=True)
    workers.wait()
    scenes = open_scenes(settings, count, args.scenes, args.vae, folder, args.device)
    return scenes.part(slice(0, args.scenes)), scenes.part(slice(args.scenes, None))


def publish(
    model: CLIPModel, average: Average, tokenizer: Path, out: Path, tokens: WordTokens, unseen: JudgedScenes
) -> None:
    """Export the averaged weights and print how well they do."""
    export(model, average, tokenizer, out)
    fresh = CLIPModel(model.config)
    average.copy_to(fresh)
    print(f"clip {check(Towers(fresh, str(unseen.images.device)).eval(), tokens, unseen)}", flush=True)


def open_tokenizer(folder: Path) -> tuple[CLIPTokenizer, WordTokens]:
    """The vocabulary of toys, written to `folder`, and its table."""
    words = vocabulary.world_words()
    tokenizer = vocabulary.build(folder, words)
    return tokenizer, WordTokens(tokenizer, words, tokenizer.model_max_length)


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget; state every few minutes, an export and its check every `--export-every` minutes."""
    folder = args.work / f"tokenizer-{workers.rank}"
    tokenizer, tokens = open_tokenizer(folder)
    scenes, unseen = load_scenes(args, workers)
    model = build_clip(tokenizer, SIZE)
    place_patches(model)
    # Of so few tokens the plain attention is the faster one: a third less for a step in bfloat16 on a CPU.
    model.set_attn_implementation("eager")
    towers = Towers(model, args.device, half_precision(args.device)).train()
    head = DenseHead(SIZE.width, grid=SIZE.side // SIZE.patch).to(args.device)
    both = torch.nn.ModuleList([towers, head])
    average = Average(towers.model, decay=args.average)
    optimizer = torch.optim.AdamW(
        both.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    budget, step = Budget(args.minutes, args.save_every), 0
    if state := load_state(args.work / "state.pt", args.resume):
        both.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
        budget.resume(state["minutes"])
        if workers.leads:
            print(f"clip goes on from step {step}", flush=True)

    def keep() -> None:
        saved = {"model": both.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
        save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})

    drawn = (args.seed * 1_000_003 + step) * 64 + workers.rank  # each process and sitting draws its own
    torch.manual_seed(drawn)
    lesson = Lesson(scenes, tokens, head, drawn)
    budget.tick_from_now()
    exported, share_used, recent = budget.used, budget.tick(), None
    while share_used < 1 or step == 0:
        set_learning_rate(optimizer, args.learning_rate, step, share_used, args.warm_up)
        losses = lesson.losses(towers, args.batch // workers.count)
        total = losses.total()
        optimizer.zero_grad()
        total.backward()
        mean, share_used = workers.average_gradients(both, total.detach(), budget.tick())
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        average.update(towers.model, step)
        latest = torch.stack([mean, losses.matching, losses.naming, losses.telling, losses.placing]).detach()
        recent = latest if recent is None else recent.lerp(latest, 0.05)
        step += 1
        if not workers.leads:
            continue
        if step % args.report_every == 0:  # reading a number waits for the device, so seldom
            loss, matching, naming, telling, placing = recent.tolist()
            values = (
                f"loss {loss:.3f} captions {matching:.3f} facts {naming:.3f} toys {telling:.3f} places {placing:.3f}"
            )
            if not math.isfinite(loss):
                raise FloatingPointError(f"{values} at step {step}; start again with a lower --learning-rate")
            scale = towers.model.logit_scale.exp().item()
            print(f"clip step {step} minutes {budget.used:.2f} {values} scale {scale:.1f}", flush=True)
        if budget.state_due():
            keep()
        if budget.used - exported >= args.export_every:
            publish(towers.model, average, folder, args.out, tokens, unseen)
            exported = budget.used
    if workers.leads:
        keep()
        publish(towers.model, average, folder, args.out, tokens, unseen)
        print(f"clip done: {step} steps of {args.batch} scenes and {args.batch} views of toys", flush=True)
    workers.wait()


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=120, batch=128, learning_rate=1e-3)
    parser.add_argument("--scenes", type=int, default=8_000, help="scenes to render and train on")
    parser.add_argument("--vae", type=Path, help="autoencoder's folder: three in ten scenes are seen through it")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the average of the weights")
    parser.add_argument("--warm-up", type=int, default=200, help="steps until the learning rate is whole")
    parser.add_argument("--report-every", type=int, default=50, help="steps between progress lines")
    parser.add_argument("--export-every", type=float, default=10.0, help="minutes between exports and checks")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
