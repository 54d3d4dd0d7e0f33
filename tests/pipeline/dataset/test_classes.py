"""What words become, and a map as a person writes it."""

from __future__ import annotations

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
        ("7: seven\n", "a word and its class are texts, and null leaves a word out; put what looks like"),
        ("dog: {a: b}\n", "dog: {'a': 'b'}: a word and its class are texts"),
        ("null: thing\n", "null is no word; concepts without one are of the word object"),
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


def test_numbers_stay_what_they_were() -> None:
    first = Classes(()).with_more(["dog", "cat"])
    assert first.names == ("cat", "dog")
    later = first.with_more(["ant", "dog"])
    assert later.names == ("cat", "dog", "ant")
    assert later.number("dog") == first.number("dog") == 2
