"""`--set`: the whole value reaches its field, or a sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.spec_file import load_spec


def load(folder: Path, *overrides: str) -> JobSpec:
    file = folder / "job.yaml"
    file.write_text("source: {uri: bucket}\noutput: out\ngenerate: {prompts: ['{handles}']}\n")
    return load_spec(file, overrides)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("output=out/night #3", "out/night #3"),
        ("output=#3", "#3"),
        ("output=a: b", "a: b"),
        ("output=s3://bucket/x", "s3://bucket/x"),
        ("output=20240101", "20240101"),
        ("output='a b'", "a b"),
        ("output=out\r", "out"),
        ("output=a=b", "a=b"),
        ("models.revision=0123456", "0123456"),
        ("models.revision=1234567e10", "1234567e10"),
        ("extract.init_word=on", "on"),
        ("extract.template={handles}", "{handles}"),
        ("extract.template=a *{handles}* [b", "a *{handles}* [b"),
        ("generate.negative_prompt=''", ""),
        ("generate.prompts=['{handles} #1', \"a: {handles}\"]", ["{handles} #1", "a: {handles}"]),
        ("source.limit=null", None),
        ("source.storage_options.anon=true", True),
        ("extract.flip=no", False),
        ("extract.phase1.lr=1e-4", 1e-4),
    ],
)
def test_the_whole_value_is_read(tmp_path: Path, override: str, value: Any) -> None:
    found: Any = load(tmp_path, override)
    for key in override.partition("=")[0].split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output=", "no value; write `null` for none"),
        ("source.limit=  ", "no value; write `null` for none"),
        ("seed=3 # of them", r"seed: .*valid integer.*'3 # of them'"),
        ("generate.prompts=['{handles}'] # all", "generate.prompts: .*valid list"),
        ("generate.prompts.0=x", r"a list is set as a whole: generate.prompts=\[..., ...\]"),
        ("source.suffixes.1=.jpg", r"a list is set as a whole: source.suffixes=\[..., ...\]"),
        ("output.folder=x", "`output` holds a value, not a section"),
        ("seed", "write it as --set section.field=value"),
        ("=3", "write it as --set section.field=value"),
        ("ouput=x", "unknown key `ouput`; did you mean `output`"),
        ("extract=null", "extract: .*give the section fields"),
    ],
)
def test_or_a_sentence_names_the_override(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load(tmp_path, override)
    assert str(caught.value).startswith(f"--set {override}: ")


def test_of_two_for_one_field_the_later_counts_and_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, "seed=1", "seed=2").seed == 2
    with pytest.raises(SpecError, match="^--set seed=-2: "):
        load(tmp_path, "seed=1", "seed=-2")
