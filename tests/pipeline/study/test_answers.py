"""Raters' files: read together, held against each other, and refused in one sentence; the command that reads them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.study.analysis.answers import read_answers
from pipeline.study.analysis.findings import findings_of
from pipeline.study.questions import RIGHT, WRONG
from schemas.errors import CommandError
from tests.support.studies import METHODS, MadeStudy, Rule, attentive, evaluated, made_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return made_study(evaluated(tmp_path_factory.mktemp("answered") / "out"))


def by_rule(who: str, aspect: str) -> int:
    """A different rating for every method, and another by aspect."""
    fixed = {RIGHT: 5, WRONG: 1, "break_a_scene": 4, "ti_m": 2, "cd_m": 3}
    return min(5, fixed.get(who, 3) + (aspect == "prompt")) if who in METHODS else fixed.get(who, 3)


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, newline="")
    return str(folder / name)


@pytest.mark.parametrize("with_key", [True, False])
def test_every_picture_finds_its_method_again(study: MadeStudy, tmp_path: Path, with_key: bool) -> None:
    """Of an evaluation also without the key: its methods have known names."""
    file = written(tmp_path, "a.csv", study.answers("ann", by_rule))
    read = read_answers([file], study.key if with_key else None)
    assert read.methods == list(METHODS)
    assert (read.study, read.of, read.repeated) == (study.key["study"], 44, 0)
    of_methods = [answer for answer in read.answers if answer.who in METHODS]
    assert len(of_methods) == 3 * 40
    assert all(answer.rating == by_rule(answer.who, answer.aspect) for answer in of_methods)
    assert sum(answer.who in (RIGHT, WRONG) for answer in read.answers) == 2 * 4


def test_a_file_that_a_spreadsheet_saved_again_is_read(study: MadeStudy, tmp_path: Path) -> None:
    text = study.answers("ann", by_rule)
    plain = read_answers([written(tmp_path, "a.csv", text)], study.key)
    again = read_answers([written(tmp_path, "b.csv", "\ufeff" + text.replace(",", ";"))], study.key)
    assert again == plain


def test_the_same_answers_in_two_files_count_once_and_that_is_told(study: MadeStudy, tmp_path: Path) -> None:
    half, whole = study.answers("ann", by_rule, most=10), study.answers("ann", by_rule)
    files = [written(tmp_path, "half.csv", half), written(tmp_path, "whole.csv", whole)]
    read = read_answers(files, study.key)
    assert read.answers == read_answers([files[1]], study.key).answers
    assert "30 answers in two files, the same in both, counted once" in findings_of(read, 100).notes


def test_who_ended_early_counts_as_far_as_they_came(study: MadeStudy, tmp_path: Path) -> None:
    files = [
        written(tmp_path, "a.csv", study.answers("ann", by_rule)),
        written(tmp_path, "b.csv", study.answers("bob", by_rule, most=22)),
        written(tmp_path, "c.csv", study.answers("c", by_rule, most=0)),
    ]
    notes = findings_of(read_answers(files, study.key), 100).notes
    assert "ended early, and count as far as they came: bob (22 of 44)" in notes
    assert f"without an answer: {files[2]}" in notes


def changed(study: MadeStudy, line: int, column: str, value: str) -> str:
    """A rater's file with one cell changed."""
    lines = study.answers("ann", by_rule).split("\r\n")
    cells = lines[line].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[line] = ",".join(cells)
    return "\r\n".join(lines)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("rating", "7", "line 4: rating '7' is none of 1 to 5; ask its rater for the file again"),
        ("rater", "\x1b[2J<b>", r"line 4: rater '\x1b[2J<b>' is no name that the page gives; ask its rater"),
        ("rating", "", "line 4: rating '' is none of 1 to 5"),
        ("rating", "²", "line 4: rating '²' is none of 1 to 5; ask its rater"),
        ("of", "²", "line 4: of '²' is no number of questions; ask its rater for the file again"),
        ("of", "", "line 4: of '' is no number of questions"),
        ("of", "0", "line 4: of '0' is no number of questions"),
        ("aspect", "beauty", "line 4: aspect 'beauty' is none of identity, prompt"),
        ("picture", "0123456789ab", "line 4: picture '0123456789ab' is of no method known here; it was changed"),
        ("question", "q099", "is of no method known here; it was changed; ask its rater for it again"),
        ("study", "fedcba987654", "it is of study 'fedcba987654', its folder of"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    study: MadeStudy, tmp_path: Path, column: str, value: str, sentence: str
) -> None:
    file = written(tmp_path, "a.csv", changed(study, 3, column, value))
    with pytest.raises(CommandError, match=re.escape(sentence)) as said:
        read_answers([file], study.key)
    assert str(said.value).startswith(file)


def swapped(study: MadeStudy, column: str) -> tuple[str, str, str]:
    """Question of a rater's third answer, what stands in this column there, and another value that reads as well."""
    cells = dict(zip(*(study.answers("ann", by_rule).split("\r\n")[line].split(",") for line in (0, 3)), strict=True))
    others = {"aspect": "identity" if cells["aspect"] == "prompt" else "prompt", "scene": "0" * 64, "of": "999"}
    return cells["question"], cells[column], others[column]


@pytest.mark.parametrize("column", ["aspect", "scene", "of"])
@pytest.mark.parametrize("known", ["key", "old key", "no key"])
def test_what_was_asked_is_not_believed(study: MadeStudy, tmp_path: Path, column: str, known: str) -> None:
    """By the key; where there is none, or one that holds no questions, by the rows that contradict each other."""
    question, right, wrong = swapped(study, column)
    old = {name: value for name, value in study.key.items() if name != "asked"}
    key = {"key": study.key, "old key": old, "no key": None}[known]
    files = [written(tmp_path, "a.csv", changed(study, 3, column, wrong))]
    named = column if column == "of" else f"{column} of question {question}"
    place = f"{files[0]} line 4: {named} is {wrong!r} here and {right!r} in "
    asks = {
        "key": "the study's key.json; it was changed; ask its rater for it again",
        "old key": f"{files[0]} line 2; one of the two was changed; ask for the files again",
        "no key": f"{files[0]} line 2; one of the two was changed; name the folder of the study too, whose key.json "
        "tells which, or ask for the files again",
    }
    with pytest.raises(CommandError) as said:
        read_answers(files, key)
    assert str(said.value) == place + asks[known]


@pytest.mark.parametrize("column", ["aspect", "scene", "of"])
@pytest.mark.parametrize("with_key", [True, False])
def test_a_file_that_was_changed_throughout_contradicts_the_others(
    study: MadeStudy, tmp_path: Path, column: str, with_key: bool
) -> None:
    question, right, wrong = swapped(study, column)
    text = study.answers("bob", by_rule).splitlines(keepends=True)
    at = text[0].strip().split(",").index(column)
    for line, row in enumerate(text[1:], 1):
        cells = row.split(",")
        if column == "of" or cells[2] == question:
            cells[at] = wrong
        text[line] = ",".join(cells)
    files = [written(tmp_path, "a.csv", study.answers("ann", by_rule)), written(tmp_path, "b.csv", "".join(text))]
    sentence = f"b\\.csv line \\d+: {column}.* is '{wrong}' here and '{right}' in "
    with pytest.raises(CommandError, match=sentence + ("the study" if with_key else ".*a.csv line 2")):
        read_answers(files, study.key if with_key else None)


def test_two_ratings_of_one_rater_for_one_picture_are_refused(study: MadeStudy, tmp_path: Path) -> None:
    files = [written(tmp_path, "a.csv", study.answers("ann", by_rule))]
    files.append(written(tmp_path, "b.csv", study.answers("ann", attentive(0, {}))))
    with pytest.raises(
        CommandError, match=r"b\.csv line \d+: rater ann gives one picture \d in .*a\.csv and \d here; le"
    ):
        read_answers(files, study.key)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,value\r\nx,1\r\n", "it has no column study, so it is no rater's; name the files that raters sent"),
        ("", "it has no column study"),
        ("study,rater,question,aspect,scene,of,picture,rating\r\nabc,ann\r\n", "line 2: it ends early"),
        ("study,rater,question,aspect,scene,of,picture,rating\r\n", "no answer in there; ask the raters"),
    ],
)
def test_what_is_no_raters_file_is_refused(study: MadeStudy, tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)):
        read_answers([written(tmp_path, "a.csv", text)], study.key)


def typed(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `unscene study WORDS`."""
    monkeypatch.setattr(sys, "argv", ["unscene", "study", *words])
    with pytest.raises(SystemExit) as left:
        main()
    shown = capfd.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def test_the_command_from_page_to_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluated(tmp_path / "out")
    code, out, said = typed(["out", "--questions", "20"], monkeypatch, capfd)
    assert (code, said) == (0, "")
    assert out.endswith("then: unscene study out --analyse answers/*.csv\n")
    study = MadeStudy(tmp_path / "out" / "study", [])
    (tmp_path / "answers").mkdir()
    rules: list[Rule] = [attentive(seed, {"ti_m": 1.5}) for seed in range(6)]
    files = [written(tmp_path / "answers", f"{n}.csv", study.answers(f"r{n}", rule)) for n, rule in enumerate(rules)]
    code, out, said = typed(["out", "--analyse", *files], monkeypatch, capfd)
    assert (code, said) == (0, "")
    assert "6 raters, 360 ratings of 3 methods on 10 scenes." in out
    assert re.search(r"\| TI-m over CD-m \| \d+ % \[\d+, \d+\] \| TI-m is preferred \| 60 \|", out)
    assert out.rstrip().endswith(f"results: {study.folder / 'results.html'}")
    whole = {name: (study.folder / name).read_text() for name in ("results.html", "results.md", "results.svg")}
    assert whole["results.md"].rstrip() in out
    assert "TI-m is preferred" in whole["results.html"]
    assert whole["results.svg"].rstrip() in whole["results.html"]
    assert not re.search(r"<script|(?:src|href)=", whole["results.html"])
    # of an evaluation also by the files alone; then the results lie beside them
    code, out, said = typed(["--analyse", *files], monkeypatch, capfd)
    assert (code, said) == (0, "")
    assert (tmp_path / "answers" / "results.md").read_text() == whole["results.md"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("out --analyse", "--analyse: no answers are named; name the CSV files that raters sent"),
        ("out a.csv", "a.csv: answers are read with --analyse; add it"),
        ("out other --analyse a.csv", "--analyse: other is a second OUTPUT; name the one of the study, and CSV files"),
        ("out other", "--into: several outputs have no folder in common; name one to write the study to"),
        ("nowhere --analyse a.csv", "no study there (study/key.json is missing); name the folder that `unscene study`"),
        ("--analyse a.csv", "a.csv: no such file; name the CSV files that raters sent"),
        ("--analyse answers/*.csv", "answers/*.csv: no such file"),
        ("nowhere", "no method's folder there"),
        ("out --questions 1", "--questions"),
        ("", "`unscene study` needs OUTPUT"),
    ],
)
def test_a_mistake_is_one_sentence(
    line: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, said = typed(line.split(), monkeypatch, capfd)
    assert (code, out) == (2, "")
    assert said.startswith("unscene: ")
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        '{"study": 1}',
        '{"study": "abc", "methods": ["x", "y"], "asked": {"q001": ["beauty", "s1"]}}',
        '{"study": "abc", "methods": ["x", "y"], "asked": {"q001": "prompt"}}',
        '{"study": "abc", "methods": ["x", "y"], "asked": []}',
    ],
)
def test_a_damaged_key_is_named(
    text: str, study: MadeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.json").write_text(text)
    code, _, said = typed([str(tmp_path), "--analyse", written(tmp_path, "a.csv", "")], monkeypatch, capfd)
    assert code == 2
    assert re.search(r"key\.json cannot be read \(\w+: .*\); put it back from a copy, or have", said)
