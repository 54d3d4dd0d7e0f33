"""What a YAML file can say and no record, table or path can hold: one sentence each, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SpecError
from schemas.secrets import masked_setting
from schemas.spec_file import load_spec

SPEC = "source:\n  uri: bucket\noutput: out\n"
OPTIONS = "output: out\nsource:\n  uri: bucket\n  storage_options: "


def refusal(folder: Path, text: str, *overrides: str) -> str:
    file = folder / "job.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(file, overrides)
    said = str(caught.value)
    assert "\n" not in said
    assert "mistakes:" not in said, "each is told once"
    assert said.isascii()
    return said.removeprefix(f"{file}:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SPEC + 'generate: {negative_prompt: "a\\ud800b"}\n',
            r"4: generate.negative_prompt: half of a character is no text (got 'a\ud800b'); write it whole",
        ),
        (SPEC + 'generate: {prompts: ["{handles}", "{handles} \\udfff"]}\n', "4: generate.prompts.1: half of"),
        (SPEC + 'generate: {format: "\\udfff"}\n', "4: generate.format: half of"),
        (SPEC + '"se\\ud800ed": 1\n', r"4: se\ud800ed: half of"),
        (OPTIONS + '{a: [{b: "\\udcff"}]}\n', "4: source.storage_options.a.0.b: half of"),
        (OPTIONS + '{"\\udcff": 1}\n', r"4: source.storage_options.\udcff: half of"),
        (OPTIONS + '{a: !!set {"\\udcff"}}\n', "4: source.storage_options.a.0: half of"),
        (OPTIONS + "{a: !!binary /w==}\n", "4: source.storage_options.a: raw bytes"),
        (SPEC.replace(": out", ': "x\\0y"'), r"3: output: no text and no path holds a NUL (got 'x\0y'); take it out"),
        (SPEC + 'models: {base: "\\0"}\n', "4: models.base: no text and no path holds a NUL"),
        (OPTIONS + "&c {a: *c}\n", "4: source.storage_options.a: it is an alias (`*name`) of a section that it is a"),
        (OPTIONS + "{a: &c [1, [*c]]}\n", "4: source.storage_options.a.1.0: it is an alias"),
        (SPEC + "extract: &e {phase1: *e}\n", "4: extract.phase1: it is an alias"),
        (OPTIONS + f"{{a: {'[' * 300}{']' * 300}}}\n", "4: source.storage_options: more than 100 sections within"),
    ],
)
def test_what_no_record_can_hold_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


@pytest.mark.parametrize(
    "override", ['output="x\\0"', "source.storage_options=&c {a: *c}", 'models.revision="\\ud800"']
)
def test_the_command_line_is_no_way_round(tmp_path: Path, override: str) -> None:
    assert refusal(tmp_path, SPEC, override).startswith(f"--set {masked_setting(override)}: ")


def test_an_alias_that_stands_twice_is_no_cycle(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(OPTIONS + "{a: &a {k: [1]}, b: *a, c: [*a, *a]}\n")
    assert load_spec(file).source.storage_options == {
        "a": {"k": [1]},
        "b": {"k": [1]},
        "c": [{"k": [1]}, {"k": [1]}],
    }
