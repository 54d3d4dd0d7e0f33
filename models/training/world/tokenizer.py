"""The seedling's tokenizer: CLIP's own kind, with a vocabulary in which every word of the world is one token.

    python -m models.training.world.tokenizer --out models/seedling/base/tokenizer

The merges are learned as byte-pair encoding always is, by counting pairs, but on a word list where each word counts
once and until each is one token. Any other text still tokenises, by pieces or by bytes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from models.training.world.palette import COLOURS
from models.training.world.patterns import PATTERNS
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.silhouettes import SILHOUETTES

MAX_LENGTH = 32
"""Tokens, start and end included: a property of this model, nothing that the product assumes."""

PROMPT_WORDS = (
    "a an the photo picture of and with on in at object animal fruit toy vehicle ball food face thing big "
    "small one two three top floating water background city mountain eiffel tower jungle street red "
    "orange yellow green blue purple pink brown white black gray"
)
"""Words of the captions' grammar, of the paper's prompts, and a few class words for concepts."""


def world_words() -> list[str]:
    """Every word of the world and of the prompts, once, in a fixed order; held-out silhouettes included."""
    words = [*PROMPT_WORDS.split(), *SILHOUETTES, *COLOURS, *PATTERNS]
    words += [word for background in BACKGROUNDS for phrase in background.phrases for word in phrase.lower().split()]
    return list(dict.fromkeys(words))


def byte_characters() -> list[str]:
    """The 256 printable characters that byte-level encodings use for the bytes 0..255, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(len(others))]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Merges, first to last, that make each of `words` one token ending in `</w>`."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        counts = Counter(pair for parts in pieces for pair in pairwise(parts))
        if not counts:
            return merges
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        pieces = [_merge(parts, best) for parts in pieces]


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def build(folder: Path, words: list[str] | None = None) -> CLIPTokenizer:
    """Write the tokenizer's files to `folder` and return it as transformers loads it from there.

    `words`, lower case: those that become one token each; `world_words()` when not given.
    """
    merges = learn_merges(world_words() if words is None else list(dict.fromkeys(words)))
    symbols = byte_characters()
    symbols += [symbol + "</w>" for symbol in symbols]
    symbols += [left + right for left, right in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    folder.mkdir(parents=True, exist_ok=True)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder)


class WordTokens:
    """Token ids of captions, word by word from a table: CLIP's byte pairs never cross a space, so this is what the
    tokenizer gives, without its cost."""

    def __init__(self, tokenizer: CLIPTokenizer, words: list[str], length: int) -> None:
        self.length, self.end = length, int(tokenizer.eos_token_id)
        self.start = int(tokenizer.bos_token_id)
        self.pad = int(tokenizer.pad_token_id)
        ids = tokenizer([*words]).input_ids
        self.table = {word: row[1:-1] for word, row in zip(words, ids, strict=True)}

    def __call__(self, text: str) -> NDArray[np.int16]:
        """int16 [length], padded, cut where too long, as the tokenizer pads and cuts.

        Raises KeyError for a word that is not in the table."""
        ids = [self.start]
        for word in text.lower().split():
            ids += self.table[word]
        ids = [*ids[: self.length - 1], self.end]
        return np.array(ids + [self.pad] * (self.length - len(ids)), np.int16)


def main() -> None:
    """Build, and check that each word is one token."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the tokenizer's files")
    tokenizer = build(parser.parse_args().out)
    for word in world_words():
        if len(tokenizer(word).input_ids) != 3:
            raise AssertionError(f"{word!r} is {tokenizer.tokenize(word)}, not one token")
    print(f"tokenizer: {len(tokenizer)} tokens, {len(world_words())} words of one token each")


if __name__ == "__main__":
    main()
