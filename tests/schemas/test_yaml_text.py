"""What a person may write into a spec's file: any encoding, numbers as they look, and no key twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SpecError
from schemas.spec_file import load_spec
from schemas.yaml_text import keys_twice, parse, parse_value

SPEC = "source:\n  uri: bucket\noutput: out\n"


def load(folder: Path, data: bytes | str) -> Any:
    file = folder / "job.yaml"
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return load_spec(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SPEC + "generate: {steps: 2}\nseed: 1\ngenerate:\n  batch: 3\n",
            r"job.yaml:6: `generate` stands there twice, first in line 4;",
        ),
        (
            SPEC + "cluster:\n  ingest:\n    workers: 1\n    cpus: 1\n    workers: 2\n",
            r"job.yaml:8: `cluster.ingest.workers` stands there twice, first in line 6;",
        ),
        (SPEC + "'seed': 1\nseed: 1\n", r"job.yaml:5: `seed` stands there twice, first in line 4;"),
        (
            SPEC.replace("uri: bucket", "storage_options: {a: [{k: 1, k: 2}]}\n  uri: bucket"),
            r"job.yaml:2: `source.storage_options.a.0.k` stands there twice, first in line 2;",
        ),
    ],
)
def test_a_key_that_stands_twice_is_an_error_with_both_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(tmp_path, text)


def test_anchors_and_merged_sections_are_no_repetition(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        SPEC + "extract:\n  phase1: &phase {steps: 3, lr: 1e-3}\n  phase2:\n    <<: *phase\n    steps: 4\n"
        "cluster:\n  ingest: &pool {workers: 2}\n  segment: *pool\n",
    )
    assert (spec.extract.phase2.steps, spec.extract.phase2.lr) == (4, 1e-3)
    assert spec.cluster.segment.workers == 2


def test_a_section_that_holds_itself_is_walked_once() -> None:
    node, _ = parse("a: &a {b: [*a], c: 1, c: 2}\n", "x")
    assert [twice.dotted for twice in keys_twice(node)] == ["a.c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    assert (
        load(tmp_path, SPEC.replace("bucket", "caf\u00e9").replace("\n", "\r\n").encode(encoding)).source.uri
        == "caf\u00e9"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            SPEC.replace(": out", ": s\u00f8r").encode("latin-1"),
            r"job.yaml:3: not UTF-8 \(byte 0xf8\); save .* as UTF-8",
        ),
        (SPEC.encode("utf-16-le"), r"job.yaml:1: not valid YAML: the character #x0000 .* UTF-8"),
        (b"PK\x03\x04\x14\x00", r"job.yaml:1: not valid YAML: the character #x0003"),
        (b"\xff\xfe\x00", r"job.yaml:1: not UTF-16"),
        (SPEC + "extract:\n\tbatch: 1\n", r"job.yaml:5: not valid YAML: .*indent with spaces"),
        (SPEC + "---\nseed: 1\n", r"job.yaml:4: not valid YAML: .*another document"),
        (SPEC + "? [a]\n: b\n", r"job.yaml:4: not valid YAML: .*unhashable"),
        (SPEC + f"seed: {'9' * 5000}\n", r"job.yaml:4: not valid YAML: 9{40}\.\.\. \(5000 characters\) cannot be read"),
        (
            SPEC + f"seed: 0x{'f' * 5000}\n",
            r"job.yaml:4: not valid YAML: 0xf+\.\.\. \(5002 characters\) cannot be read",
        ),
        (SPEC + "seed: 0x_\n", r"job.yaml:4: not valid YAML: 0x_ cannot be read as int"),
        (SPEC + "seed: !!bool maybe\n", r"job.yaml:4: not valid YAML: maybe cannot be read as bool"),
        (SPEC + "a: " + "[" * 4000, r"job.yaml: sections within sections"),
        ("", r"job.yaml: a job spec is a mapping"),
        ("# nothing\n", r"job.yaml: a job spec is a mapping"),
        ("- source\n", r"job.yaml: a job spec is a mapping"),
    ],
)
def test_what_is_no_spec_is_one_sentence(tmp_path: Path, data: bytes | str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load(tmp_path, data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("012", "012"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1e-4", "1e-4"),
        ("-12", -12),
        ("0", 0),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1.5e-3", 1.5e-3),
        (".5", 0.5),
        ("off", False),
        ("~", None),
        ("'7'", "7"),
        ("[1, a]", [1, "a"]),
    ],
)
def test_values_are_what_they_look_like(text: str, value: Any) -> None:
    assert parse_value(text) == value == parse(f"k: {text}\n", "x")[1]["k"]


def test_numbers_of_the_file_reach_their_fields_as_they_look(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC + "seed: 010\nextract: {phase1: {steps: 0100, lr: 1e-4}, phase2: {steps: '20'}}\n")
    assert (spec.seed, spec.extract.phase1.steps, spec.extract.phase1.lr, spec.extract.phase2.steps) == (
        10,
        100,
        1e-4,
        20,
    )
    assert load(tmp_path, SPEC.replace(": out", ": 2024-01-01")).output == "2024-01-01"


def laughs(levels: int, section: str = "storage_options") -> str:
    """Aliases of aliases, nine a level: 9 to the power of `levels` values in as many lines."""
    lines = [f"    a0: &a0 [{', '.join('x' * 9)}]"]
    lines += [f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"source:\n  uri: bucket\n  {section}:\n" + "\n".join(lines) + "\noutput: out\n"


def test_aliases_that_explode_are_refused_before_they_do(tmp_path: Path) -> None:
    assert load(tmp_path, laughs(3)).source.storage_options["a2"][0][0] == ["x"] * 9
    for levels in (9, 40):
        with pytest.raises(
            SpecError, match=r"job.yaml:9: its aliases \(`\*name`\) stand for .* write out what is meant"
        ):
            load(tmp_path, laughs(levels))


def test_merges_that_explode_are_refused_too(tmp_path: Path) -> None:
    lines = ["  a0: &a0 {k: 1}"]
    lines += [f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    with pytest.raises(SpecError, match="its aliases"):
        load(tmp_path, SPEC + "cluster:\n" + "\n".join(lines))


def test_the_command_line_is_no_way_round(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    bomb = "[&a [x, x, x, x, x, x, x, x, x]" + "".join(
        f", &{after} [{', '.join([f'*{before}'] * 9)}]" for before, after in pairwise("abcdefghi")
    )
    with pytest.raises(SpecError, match=r"--set segment.vocabulary=.*: its aliases"):
        load_spec(tmp_path / "job.yaml", [f"segment.vocabulary={bomb}]"])
    with pytest.raises(SpecError, match=r"sections within sections without end"):
        load_spec(tmp_path / "job.yaml", [f"segment.vocabulary={'[' * 3000}{']' * 3000}"])


@pytest.mark.parametrize("depth", [150, 3000])
def test_sections_without_end_are_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(SpecError, match=r"sections within sections"):
        load(tmp_path, f"source: {{uri: bucket, storage_options: {{a: {'[' * depth}{']' * depth}}}}}\noutput: out\n")
