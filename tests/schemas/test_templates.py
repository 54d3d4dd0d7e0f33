"""Which prompts are templates, and what their places stand for."""

from __future__ import annotations

import pytest

from schemas.templates import check_template, fill_names, named_concepts, named_in


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("a photo of {handles} and {handles}", []),
        ("{1} beside {0}, {1}", [1, 0]),
        ("a {Teddy bear} on {3d printer}", ["teddy bear", "3d printer"]),
        ("{16} in a {t-shirt}", [16, "t-shirt"]),
        ("{candles} on {0}", ["candles", 0]),
    ],
)
def test_templates(template: str, names: list[int | str]) -> None:
    assert check_template(template) == template
    assert named_in(template) == names


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a photo", "needs {handles}, or concepts one by one"),
        ("{handles} beside {0}", "has {handles} and {0}; have all of a subset in one place"),
        ("{cat} and {handles}", "has {handles} and {cat}"),
        ("{}", "has {}, which names no concept; write {handles}, an index such as {0}"),
        ("{-1}", "{-1}, which names no concept"),
        ("{00}", "{00}, which names no concept"),
        ("{0:d}", "{0:d}, which names no concept"),
        ("{cat.name}", "{cat.name}, which names no concept"),
        ("{ cat }", "{ cat }, which names no concept"),
        ("{17}", "names concept 17, and no scene has more than 17; name one from {0} to {16}"),
        ("{handle}", "has {handle}; did you mean {handles}?"),
        ("{Handles} at night", "did you mean {handles}?"),
        ("{asset1} at night", "did you mean {1}?"),
        ("a {0 at night", "a brace without the other one"),
        ("{{0}}", "a brace without the other one"),
    ],
)
def test_what_is_no_template_is_refused_in_a_sentence(template: str, message: str) -> None:
    with pytest.raises(ValueError, match="^the prompt ") as refused:
        check_template(template)
    assert message in str(refused.value)


def test_names_become_what_they_stand_for() -> None:
    found = named_concepts("{cat} beside {0}", ["dog", "mug", "Cat"])
    assert found == {"cat": 2, 0: 0}
    assert fill_names("{Cat} beside {0}", {"cat": "<b>", 0: "{cat}"}) == "<b> beside {cat}"
