"""What words become, and a map as a person writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.dataset.classes import Classes, ClassMap, read_class_map
from schemas.errors import CommandError


def test_a_word_is_its_own_class_where_no_map_says_otherwise() -> None:
    assert [ClassMap().of(word) for word in ("cat", None)] == ["cat", "object"]
    some = ClassMap({"cat": "animal", "tree": None, "object": "thing"})
    assert [some.of(word) for word in ("cat", "tree", "dog", None)] == ["animal", None, "dog", "thing"]
    closed = ClassMap({"cat": "animal", "*": None})
    assert [closed.of(word) for word in ("cat", "dog", None)] == ["animal", None, None]
    assert closed.idle(["dog"]) == ["cat"]


def test_spaces_make_no_class_of_their_own() -> None:
    assert [ClassMap().of(word) for word in ("object ", " big  dog", " ")] == ["object", "big dog", "object"]
    some = ClassMap({"object": "thing", "big dog": "animal"})
    assert [some.of(word) for word in (" object", "big  dog ", None)] == ["thing", "animal", "thing"]
    assert some.idle(["object ", "cat"]) == ["big dog"]


def test_a_map_is_read_as_it_looks(tmp_path: Path) -> None:
    file = tmp_path / "words.yaml"
    file.write_text('dog: animal\ntree: null\n"*": other\n')
    assert read_class_map(file) == ClassMap({"dog": "animal", "tree": None, "*": "other"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "write a line for each word, such as `dog: animal`, or `tree: null`"),
        ("- dog\n", "write a line for each word"),
        ("dog: animal\ncat: animal\ndog: pet\n", ":3: dog stands in line 1 already; take one out"),
        ("dog: animal\n'dog ': pet\n", "'dog ' stands there already, but for its spaces, which do not count; take one"),
        ("7: seven\n", ':1: YAML reads 7 as a number, and a word is a text; put it in quotes: "7"'),
        ("dog: {a: b}\n", ":1: dog: a class is one text, and no list or section; write a line for each word"),
        ("dog:\n  - a\n", ":2: dog: a class is one text, and no list or section; write a line for each word"),
        ("null: thing\n", ":1: null is no word; concepts without one are of the word object"),
        (
            "~: thing\n",
            ":1: ~ is no word; concepts without one are of the word object; a thing called so stands in quo",
        ),
        ("dog: ''\n", ":1: dog: an empty text is no class; name one, or write null to leave it out"),
        ("' ': dog\n", ":1: an empty text is no word; concepts without one are of the word object"),
        (
            'cat: "\\uD83D"\n',
            r":1: cat: \ud83d is half of a character, which no file holds; write the character itself",
        ),
        (
            '"\\uDE00b": cat\n',
            r":1: \ude00 is half of a character, which no file holds; write the character it",
        ),
        ("dog: [\n", "not valid YAML"),
    ],
)
def test_a_map_that_is_none_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "words.yaml"
    file.write_text(text)
    with pytest.raises(CommandError) as error:
        read_class_map(file)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"--classes {file}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("typed", ["no", "No", "yes", "on", "off", "true", "1.0", "0x10", "7", "-3", ".inf", "1_000"])
def test_what_yaml_reads_as_something_else_is_told_as_it_was_typed(tmp_path: Path, typed: str) -> None:
    file = tmp_path / "words.yaml"
    for number, text in enumerate((f"{typed}: null\n", f"cat: animal\ndog: {typed}\n"), 1):
        file.write_text(text)
        with pytest.raises(
            CommandError, match=rf":{number}: .*{re.escape(typed)} as .* in quotes: \"{typed}\"$"
        ) as error:
            read_class_map(file)
        assert not re.search("True|False|None|16|1000", str(error.value).removeprefix(f"--classes {file}"))
    file.write_text(f'"{typed}": null\ndog: "{typed}"\n')
    assert read_class_map(file) == ClassMap({typed: None, "dog": typed})


@pytest.mark.parametrize("typed", ["2024-01-01", "1e3", "012", "1:30", "y"])
def test_what_looks_like_a_text_is_one(tmp_path: Path, typed: str) -> None:
    file = tmp_path / "words.yaml"
    file.write_text(f"{typed}: dog\ncat: {typed}\n<<: {{tree: plant}}\n")
    assert read_class_map(file) == ClassMap({typed: "dog", "cat": typed, "tree": "plant"})


def test_numbers_stay_what_they_were() -> None:
    first = Classes(()).with_more(["dog", "cat"])
    assert first.names == ("cat", "dog")
    later = first.with_more(["ant", "dog"])
    assert later.names == ("cat", "dog", "ant")
    assert later.number("dog") == first.number("dog") == 2


def test_a_map_that_brings_itself_in_is_read_once(tmp_path: Path) -> None:
    """It ended in a RecursionError, and the advice to type the same again."""
    file = tmp_path / "loop.yaml"
    file.write_text("&a {<<: *a, dog: animal}\n")
    assert read_class_map(file) == ClassMap({"dog": "animal"})
