"""What `generate` asks of scenes and of the base's tokenizers, before anything is started; and that asking takes no
torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.asked import check_asked, subset_lines
from schemas.errors import SpecError
from schemas.job import JobSpec
from tests.support import ROOT
from tests.support.sample_output import SampleOutput
from tests.support.tiny_models import MAX_LENGTH, WORDS, build_tokenizer

PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
LONG = "a photo of the cat at the beach in the snow on the wooden floor with the dog and the car"
"""21 tokens of the 30 that stand between start and end."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "model_index.json").write_text(json.dumps({part: ["library", "Class"] for part in PARTS}))
    build_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    """Scenes with two handles each."""
    return SampleOutput(tmp_path_factory.mktemp("earlier"))


def spec_of(base: Path, handles: SampleOutput | None = None, **sections: Any) -> JobSpec:
    source = {"handles": handles.storage.url} if handles else {"uri": "/photos"}
    return JobSpec.model_validate({"source": source, "output": "/out", "models": {"base": str(base)}, **sections})


def test_prompts_that_fit_are_nothing_to_speak_of(base: Path, earlier: SampleOutput) -> None:
    assert check_asked(spec_of(base)) == []
    assert check_asked(spec_of(base, earlier, generate={"prompts": [LONG + " {handles}"]})) == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"generate": {"prompts": ["{handles}", LONG * 2 + " {handles}"]}},
            r"generate\.prompts: <asset0> .*{handles}$",
        ),
        (
            {"generate": {"prompts": [LONG + " and a ball in the city {handles}"]}},
            r"generate\.prompts: <asset2> does not fit into the 32 tokens .*<asset2>'.* fewer handles at once",
        ),
        (
            {"generate": {"prompts": [LONG + " and a ball in the city {handles}"], "subsets": [[0, 1, 3]]}},
            r"generate\.prompts: <asset2>",
        ),
        (
            {"extract": {"template": LONG + " on the floor {handles}"}},
            r"extract\.template: .*lower segment\.max_concepts",
        ),
    ],
)
def test_a_handle_behind_the_last_token_is_refused(base: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_asked(spec_of(base, **sections))


def test_only_what_can_be_asked_for_is_held_against_the_base(base: Path, earlier: SampleOutput) -> None:
    """Two fit where three do not: a scene of the earlier job has no more, and singles and pairs want no more."""
    prompts = {"prompts": [LONG + " and a ball in the city {handles}"]}
    assert check_asked(spec_of(base, earlier, generate=prompts)) == []
    assert check_asked(spec_of(base, generate=prompts | {"subsets": ["singles", "pairs"]})) == []
    assert check_asked(spec_of(base, segment={"max_concepts": 2}, generate=prompts)) == []
    with pytest.raises(SpecError, match="<asset2>"):
        check_asked(spec_of(base, segment={"max_concepts": 2, "background": True}, generate=prompts))
    alone = {"template": LONG + " on the wooden floor {handles}"}
    assert check_asked(spec_of(base, extract=alone | {"union_sampling": False})) == []


def test_a_second_tokenizer_that_needs_more_tokens_decides(tmp_path: Path, base: Path) -> None:
    (tmp_path / "model_index.json").write_text(
        json.dumps({part: ["library", "Class"] for part in (*PARTS, "tokenizer_2", "text_encoder_2")})
    )
    build_tokenizer((*WORDS, "zebra")).save_pretrained(tmp_path / "tokenizer")
    build_tokenizer().save_pretrained(tmp_path / "tokenizer_2")
    prompts = {"prompts": ["a zebra " * 7 + "and {handles}"], "subsets": ["singles"]}
    assert (
        len(build_tokenizer((*WORDS, "zebra"))(prompts["prompts"][0].replace("{handles}", "")).input_ids) < MAX_LENGTH
    )
    with pytest.raises(SpecError, match=r"generate\.prompts: <asset0>"):
        check_asked(spec_of(tmp_path, generate=prompts))


def test_what_is_cut_off_behind_the_handles_is_said(base: Path) -> None:
    twice = f"{LONG} {LONG}"
    prompts = {"prompts": ["{handles} " + LONG + " and a ball on the floor"], "negative_prompt": twice}
    assert check_asked(spec_of(base, generate=prompts, extract={"prior": {"prompt": twice}})) == [
        "generate.prompts: the base model reads 32 tokens, and leaves out 'ball on the floor' of "
        f"'<asset0> and <asset1> and <asset2> and <asset3> {LONG} and a ball on the floor'",
        *(
            f"{name}: the base model reads 32 tokens, and leaves out 'the snow on the wooden floor with the dog and "
            f"the car' of {twice!r}"
            for name in ("generate.negative_prompt", "extract.prior.prompt")
        ),
    ]


def test_subsets_that_no_scene_can_have_are_refused(base: Path, earlier: SampleOutput) -> None:
    with pytest.raises(
        SpecError, match=r"generate\.subsets: \[2\], \[0, 3\] asks for .*\(no scene under .* more than 2;"
    ):
        check_asked(spec_of(base, earlier, generate={"subsets": [[2], [0, 3]]}))
    with pytest.raises(
        SpecError, match=r"generate\.subsets: \[4\] asks .*a scene has at most 4; .*segment\.max_concepts"
    ):
        check_asked(spec_of(base, generate={"subsets": [[4]]}))
    with pytest.raises(SpecError, match=r"generate\.subsets: pairs asks .*at most 1"):
        check_asked(spec_of(base, segment={"max_concepts": 1}, generate={"subsets": ["pairs"]}))
    assert check_asked(spec_of(base, segment={"background": True}, generate={"subsets": [[4]]})) == []
    assert check_asked(spec_of(base, earlier, generate={"subsets": [[2], [1]]})) == []


def test_subsets_that_scenes_lack_are_counted(base: Path, earlier: SampleOutput, tmp_path: Path) -> None:
    asked = {"subsets": [[0], [0, 1], [0, 2], [5]]}
    assert subset_lines(spec_of(base, earlier, generate=asked)) == [
        "generate.subsets: [0, 2] needs 3 concepts; 3 of 3 scenes have fewer, and no picture of it",
        "generate.subsets: [5] needs 6 concepts; 3 of 3 scenes have fewer, and no picture of it",
    ]
    assert subset_lines(spec_of(base, earlier)) == []
    new = spec_of(base, generate=asked).model_copy(update={"output": str(tmp_path)})
    assert subset_lines(new) == [
        "generate.subsets: [5] needs 6 concepts; no scene can have more than 4 (segment.max_concepts), and none gets a "
        "picture of it"
    ]


def test_a_concept_takes_the_place_only_of_one_that_is_there(base: Path, earlier: SampleOutput) -> None:
    """The earlier scenes have two concepts each."""
    placed = {"mode": "place", "subsets": ["singles", "pairs", "union"]}
    assert check_asked(spec_of(base, earlier, generate=placed)) == []
    assert subset_lines(spec_of(base, earlier, generate=placed | {"subsets": ["singles"]})) == []
    with pytest.raises(SpecError, match=r"place\.region: replace .*: pairs leaves none in any scene \(of at most 2"):
        check_asked(spec_of(base, earlier, generate=placed | {"subsets": ["pairs"]}))
    with pytest.raises(SpecError, match=r"singles leaves none in any scene .*; take place\.region: add"):
        check_asked(spec_of(base, segment={"max_concepts": 1}, generate={"mode": "place"}))
    added = {"mode": "place", "subsets": ["pairs", "union"], "place": {"region": "add"}}
    assert check_asked(spec_of(base, earlier, generate=added)) == subset_lines(spec_of(base, earlier, generate=added))


@pytest.mark.parametrize(
    ("subsets", "region", "concepts", "right"),
    [
        ([[0]], "replace", 1, False),  # the other is the background
        ([[0]], "replace", 2, True),
        (["singles"], "replace", 1, True),  # the background where the other is
        ([[0, 1]], "replace", 2, False),
        (["pairs"], "replace", 2, True),
        ([[2]], "add", 2, False),  # always the background
        ([[1]], "add", 2, True),
        ([[2]], "add", 3, True),
        (["singles"], "add", 1, True),
    ],
)
def test_subsets_of_which_nothing_is_placed_are_refused(
    base: Path, subsets: list[Any], region: str, concepts: int, right: bool
) -> None:
    """Of scenes with at most so many concepts and the background."""
    spec = spec_of(
        base,
        segment={"max_concepts": concepts, "background": True},
        generate={"mode": "place", "subsets": subsets, "place": {"region": region}},
    )
    if right:
        check_asked(spec)
        return
    remedy = r"\[\[0\]\]" + (", or take place.region: add" if region == "replace" else "") + "$"
    with pytest.raises(SpecError, match=rf"^generate.place.region: {region} draws nothing of .*background.* {remedy}"):
        check_asked(spec)


def test_what_scenes_have_no_other_concept_for_is_counted(base: Path, earlier: SampleOutput) -> None:
    placed = {"mode": "place", "subsets": ["singles", "pairs", "union"]}
    assert subset_lines(spec_of(base, earlier, generate=placed)) == [
        "generate.subsets: pairs needs 3 concepts, one of them to be replaced; 3 of 3 scenes have fewer, and no "
        "picture of it",
        "generate.subsets: union leaves no concept for generate.place.region: replace, and no scene gets a "
        "picture of it; place.region: add would draw it",
    ]


def named(*prompts: str, **more: Any) -> dict[str, Any]:
    return {"prompts": list(prompts), **more}


def test_scenes_without_a_named_concept_are_counted(base: Path, earlier: SampleOutput, tmp_path: Path) -> None:
    """The earlier scenes have a cat, and an object."""
    prompts = named("{0} beside {1}", "{cat} on grass", "{0} on {2}", "{cat} beside {dog}", subsets=[[7]])
    spec = spec_of(base, earlier, generate=prompts)
    lines = [
        "generate.prompts: '{0} on {2}' names concept 0 and concept 2; 3 of 3 scenes do not have them all, and no "
        "picture of it",
        "generate.prompts: '{cat} beside {dog}' names concept 'cat' and concept 'dog'; 3 of 3 scenes do not have them "
        "all, and no picture of it",
    ]
    assert check_asked(spec) == []
    assert subset_lines(spec) == lines
    more = named("{handles}", "{0} on {2}", subsets=["singles"])
    assert subset_lines(spec_of(base, earlier, generate=more)) == lines[:1]
    new = spec_of(base, generate=prompts).model_copy(update={"output": str(tmp_path)})
    assert subset_lines(new) == [
        "generate.prompts: '{cat} on grass' gets no picture of any scene, as segment.vocabulary has no word 'cat'",
        "generate.prompts: '{cat} beside {dog}' gets no picture of any scene, as segment.vocabulary has no word 'cat'",
    ]


@pytest.mark.parametrize(
    ("sections", "given", "message"),
    [
        (
            named("{4}"),
            False,
            "'{4}' gets no picture of any scene, as it needs 5 concepts and a scene has at most 4; name",
        ),
        (
            named("{2}", "{dog}"),
            True,
            "'{2}' gets no picture of any scene under ",
        ),
        (named("{dog}"), True, "as none has concept 'dog'; name concepts that there are, such as {0}"),
        (named("{dog}"), False, "as segment.vocabulary has no word 'dog'; name"),
        (named("{0} on {1}", mode="place"), True, "as it needs 3 concepts and a scene has at most 2"),
        (named("{background}", mode="place", place={"region": "add"}), True, "as the background is everywhere already"),
    ],
)
def test_prompts_of_which_no_scene_has_the_concepts_are_refused(
    base: Path, earlier: SampleOutput, sections: dict[str, Any], given: bool, message: str
) -> None:
    with pytest.raises(SpecError, match=r"^generate\.prompts: ") as refused:
        check_asked(spec_of(base, earlier if given else None, generate=sections))
    assert message in str(refused.value)


def test_words_that_a_scene_may_have_are_not_refused(base: Path) -> None:
    for segment, source, word in (
        ({"vocabulary": ["Teddy Bear"]}, {}, "teddy bear"),
        ({"background": True}, {}, "background"),
        ({}, {}, "object"),
        ({}, {"masks": "coco", "coco": "/photos/instances.json"}, "zebra"),
    ):
        spec = spec_of(base, segment=segment, generate=named(f"{{{word}}} at night"))
        spec = spec.model_copy(update={"source": spec.source.model_copy(update=source)})
        assert check_asked(spec) == []


def test_a_named_handle_behind_the_last_token_is_refused(base: Path) -> None:
    with pytest.raises(SpecError, match=r"^generate\.prompts: <asset1> does not fit .*<asset1>'; shorten it$"):
        check_asked(spec_of(base, generate=named("{0} " + LONG + " and a ball in the city at night {1}")))
    cut = named("{1} " + LONG + " and a ball on the floor with a cat and a dog")
    (line,) = check_asked(spec_of(base, generate=cut))
    assert line.startswith("generate.prompts: the base model reads 32 tokens, and leaves out ")


def test_asking_takes_no_torch(base: Path) -> None:
    code = f"""
import sys
from pipeline.commands.asked import check_asked
from schemas.job import JobSpec
spec = JobSpec.model_validate({{"source": {{"uri": "/photos"}}, "output": "/out", "models": {{"base": {str(base)!r}}}}})
assert check_asked(spec) == []
print([name for name in ("torch", "diffusers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
