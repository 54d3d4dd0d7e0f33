"""The page of the paper's uses: each of its commands is a job that draws what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.world.demo_parts import parts_of
from pipeline.commands.asked import check_asked, subset_lines
from schemas.job import JobSpec
from schemas.spec_file import load_spec
from stages.generate.prompts import Variation, list_variations
from tests.support import ROOT
from tests.support.sample_output import SampleOutput

PAGE = ROOT / "docs" / "uses.md"


def jobs() -> list[JobSpec]:
    """What the page's commands run, in order, all their settings together."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command, verb, job, *words = shlex.split(line)
            assert (command, verb, set(words[::2]) - {"--set"}) == ("unscene", "run", set()), line
            found.append(load_spec(ROOT / "jobs" / f"{job}.yaml", words[1::2]))
    return found


VARIED, NAMED, EMPTY, GROUNDS, PARTS, REPLACED, ADDED = range(7)


def drawn(spec: JobSpec, *words: str) -> list[Variation]:
    """Pictures of a scene with these words, the last one's the background's if it is one."""
    ground = len(words) - 1 if words[-1] == "background" else None
    return list_variations("s", [f"<asset{i}>" for i in range(len(words))], words, spec.generate, ground)


def test_each_has_an_output_of_its_own_and_goes_on_from_the_demos() -> None:
    specs, demo = jobs(), load_spec(ROOT / "jobs" / "demo.yaml")
    assert len(specs) == 7
    assert len({spec.output for spec in [*specs, demo]}) == 8
    learns = [spec.source.handles is None for spec in specs]
    assert learns == [number in (EMPTY, PARTS) for number in range(7)]
    assert {specs[number].source.handles for number in (VARIED, NAMED, REPLACED, ADDED)} == {demo.output}
    assert specs[GROUNDS].source.handles == specs[EMPTY].output


def test_each_draws_what_the_page_says() -> None:
    specs = jobs()
    pair, ground = ("object", "object"), ("object", "object", "background")
    assert {one.prompt for one in drawn(specs[VARIED], *pair)} == {"a photo of <asset0> and <asset1>"}
    assert {one.concepts for one in drawn(specs[NAMED], *pair)} == {(0, 1)}
    assert {one.concepts for one in drawn(specs[NAMED], *pair, "object")} == {(0, 1), (2,)}
    assert {(one.concepts, one.replaced) for one in drawn(specs[EMPTY], *ground)} == {((2,), 0), ((2,), 1)}
    assert {one.concepts for one in drawn(specs[GROUNDS], *ground)} == {(2,), (0, 2)}
    assert {one.concepts for one in drawn(specs[PARTS], *pair)} == {(0,), (1,), (0, 1)}
    assert {one.replaced for one in drawn(specs[REPLACED], *pair)} == {0, 1}
    assert {one.concepts for one in drawn(specs[ADDED], *pair)} == {(0,), (1,)}


@pytest.mark.parametrize("number", [EMPTY, PARTS])
def test_those_that_learn_are_right_before_they_start(number: int) -> None:
    assert check_asked(jobs()[number]) == []


def test_those_that_go_on_are_right_and_say_what_scenes_lack(tmp_path: Path) -> None:
    """Of an earlier output whose scenes have two concepts each."""
    earlier = SampleOutput(tmp_path / "demo").storage.url
    for number in (VARIED, NAMED, REPLACED, ADDED):
        spec = jobs()[number]
        spec = spec.model_copy(update={"source": spec.source.model_copy(update={"handles": earlier})})
        assert check_asked(spec) == []
        assert [line[:36] for line in subset_lines(spec)] == (
            ["generate.prompts: 'a photo of {2} in"] if number == NAMED else []
        )


def test_the_demos_parts_are_what_their_script_makes() -> None:
    """Of one thing several, one within another, and what is seen of one behind another."""
    made = parts_of(ROOT / "demo")
    for file, masks in made.items():
        assert (ROOT / "demo" / "parts" / file).read_bytes() == (ROOT / "demo" / "bucket" / file).read_bytes()
        for index, mask in enumerate(masks):
            name = f"{Path(file).stem}.mask{index}.png"
            assert np.array_equal(np.array(Image.open(ROOT / "demo" / "parts" / name)), mask)
    assert len(list((ROOT / "demo" / "parts").iterdir())) == 3 * len(made)
    (whole, cap), (sail, hull), (cone, tree) = made.values()
    assert not (cap & ~whole).any()
    assert not (sail & hull).any()
    assert not (cone & tree).any()
