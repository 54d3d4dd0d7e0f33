"""Credentials are taken out of whatever is said or recorded; what is none stays as it is."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import pytest

from pipeline.typed.saying import again_told
from schemas.errors import JobError, SceneError, SpecError
from schemas.outcomes import AccountLine, Failure
from schemas.secrets import holds_credentials, is_masked, masked, masked_setting, masked_tree
from schemas.spec_file import load_spec

SECRET = "hunter2/X+y"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cannot list sftp://ann:hunter2@host/in: no", "cannot list sftp://ann:***@host/in: no"),
        ("s3://AKIA1:hunter2/X+y@bucket/a", "s3://AKIA1:***@bucket/a"),
        ("ftp://ann:p@ss@host/img@2x.png", "ftp://ann:***@host/img@2x.png"),
        ("https://ghp_hunter2@host/x", "https://***@host/x"),
        (
            "https://a.blob.core.windows.net/c/a.zip?sv=2024&se=2027&sig=hunter2%2F==",
            "https://a.blob.core.windows.net/c/a.zip?sv=2024&se=2027&sig=***",
        ),
        (
            "zip://a.png::https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Credential=AK/hunter2&X-Amz-Signature=hunter2",
            "zip://a.png::https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("simplecache::https://h/a?token=hunter2::x", "simplecache::https://h/a?token=***::x"),
        ("(https://h/a?api_key=hunter2), retry", "(https://h/a?api_key=***), retry"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;EndpointSuffix=x",
        ),
        (
            "unexpected {'key': 1, 'aws_secret_access_key': 'hunter2'}",
            "unexpected {'key': 1, 'aws_secret_access_key': '***'}",
        ),
        ("run --set source.storage_options.k=hunter2 --limit 3", "run --set source.storage_options.k=*** --limit 3"),
        ("run --set 'source.storage_options={k: hunter2, s: t}' x", "run --set 'source.storage_options=***' x"),
    ],
)
def test_credentials_are_taken_out(text: str, told: str) -> None:
    assert masked(text) == told
    assert masked(told) == told, "a text may pass several doors"
    assert holds_credentials(text)
    assert not holds_credentials(told)


@pytest.mark.parametrize(
    "text",
    [
        "https://host:9000/bucket/img@2x.png",
        "s3://bucket/a?v=1.jpg",
        "s3://bucket/key=3/a.jpg?token=part of a name",
        "abfs://container@account.dfs.core.windows.net/in",
        "github://owner:repository@main/pictures",
        "http://127.0.0.1:8265",
        "a photo of <asset0>, key: value, 3:4",
        '{"token": "<asset0>", "word": "cat"}',
        "C:\\pictures\\a.png and /data/a:b@c.jpg",
        "https://host/a?page=2&size=large",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert masked(text) == text
    assert not holds_credentials(text)
    assert not is_masked(text)


def test_what_cannot_be_opened_any_more_is_known() -> None:
    spec = {"uri": "sftp://ann:hunter2@h/in", "storage_options": {}, "prompts": ["my secret: 'hat'"]}
    assert is_masked(masked_tree(spec))
    assert not is_masked(spec)
    assert masked_tree(spec)["prompts"] == spec["prompts"], "a prompt is to stay what it is"
    assert is_masked(masked_tree({"storage_options": {"key": "a"}}))
    assert is_masked(masked("https://h/a?sig=x"))
    assert is_masked(masked("https://t@h/a"))


def test_of_options_only_harmless_ones_are_told() -> None:
    options = {
        "anon": False,
        "key": "hunter2",
        "whatever": "hunter2",
        "password": 12345,
        "timeout": 60,
        "client_kwargs": {"endpoint_url": "https://ann:hunter2@host", "region_name": "eu", "headers": {"X": "hunter2"}},
    }
    told = masked_tree({"uri": "s3://bucket", "storage_options": options})
    assert "hunter2" not in json.dumps(told)
    assert "12345" not in json.dumps(told)
    assert told["storage_options"]["client_kwargs"]["region_name"] == "eu"
    assert (told["storage_options"]["anon"], told["storage_options"]["timeout"]) == (False, 60)
    assert told["uri"] == "s3://bucket"


def test_errors_and_rows_hold_none() -> None:
    url = "https://h/a.jpg?sig=hunter2"
    for error in (JobError(f"cannot read {url}"), SpecError(f"one: {url}", f"two: {url}"), SceneError(f"gone: {url}")):
        assert "hunter2" not in str(error) + repr(error)
    failure = Failure("0" * 16, "FileUnreadable", f"cannot read {url}", f"Traceback ... {url}", uri=url)
    assert "hunter2" not in str(failure.row("ingest"))
    assert "hunter2" not in str(AccountLine("file", url, "left out", "x", f"of {url}").row())


def test_rows_hold_what_a_table_can_hold() -> None:
    """A name that is no UTF-8 in a message made the table, and with it the shard, impossible to write."""
    row = Failure("0" * 16, "OSError", "cannot read b\udcff.jpg", "... b\udcff.jpg", uri="b\udcff.jpg").row("ingest")
    assert (row["message"], row["uri"]) == ("cannot read b\\udcff.jpg", "b\\udcff.jpg")
    assert AccountLine("file", "b\udcff.jpg", "left out").row()["uri"] == "b\\udcff.jpg"


@pytest.mark.parametrize(
    ("source", "sets"),
    [
        ("{uri: 's3://b/in', storage_options: hunter2}", []),
        ("[{uri: 's3://b/in', storage_options: {secret: hunter2}}]", []),
        ("{uri: 's3://b/in', storage_options: {k: \"hunter2\\udcff\"}}", []),
        ("{uri: 's3://b/in'}", ["source.storage_options=hunter2"]),
        ("{uri: 's3://b/in'}", ["source.storage_options.secret="]),
        ("{uri: 's3://b/in'}", ["source.storage_option.secret=hunter2"]),
        ("{uri: 's3://b/in'}", ["storage_options.k.1=hunter2"]),
        ("{uri: 's3://b/in'}", ["source.uri.password=hunter2"]),
        ("{uri: ['https://ann:hunter2@h/in']}", []),
    ],
)
def test_no_mistake_of_a_spec_repeats_them(tmp_path: Path, source: str, sets: list[str]) -> None:
    (tmp_path / "job.yaml").write_text(f"source: {source}\noutput: out\n")
    with pytest.raises(SpecError) as refused:
        load_spec(tmp_path / "job.yaml", sets)
    assert "hunter2" not in str(refused.value)


def test_an_override_is_repeated_without_its_value() -> None:
    assert masked_setting("source.storage_options.a=hunter2") == "source.storage_options.a=***"
    assert masked_setting("seed=3") == "seed=3"
    assert masked_setting("source.uri=https://h/a?sig=hunter2") == "source.uri=https://h/a?sig=***"
    whole = "source={uri: s3://b/in, storage_options: {key: hunter1, secret: hunter2}}"
    assert masked_setting(whole) == "source=***"
    harmless = "source={uri: s3://b/in, storage_options: {anon: true}}"
    assert masked_setting(harmless) == harmless


@pytest.mark.parametrize(
    "value",
    [
        'source.storage_options={"secret": "it\'s hunter2", key: hunter2}',
        'source={storage_options: {key: "h\'unter2"}}',
    ],
)
def test_a_command_that_is_kept_is_masked_before_it_is_quoted(value: str) -> None:
    """Masked afterwards it was up to the first quote within."""
    told = again_told("--set", [value, "output=out/run #7"])
    assert shlex.split(told) == ["--set", f"{value.partition('=')[0]}=***", "--set", "output=out/run #7"]


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a-",
            "a://",
            "http://",
            "x://y:",
            "http://a?",
            "a://b:c/",
            "secret",
            "secret=",
            "secret='",
            "'",
            "\"'",
            "&key=",
        ),
        *(
            "storage_options",
            "'storage_options",
            "source.storage_options.a=",
            "AccountKey",
            "http://h?token=",
            "a_",
            "@",
            " ",
        ),
        *("secret ", "password:", "https://h/;sig=::"),
    ],
)
def test_no_text_of_a_stranger_takes_long(piece: str) -> None:
    """Two texts, one eight times as long: the time may not grow with the square."""
    start = "://=:storage_options "
    took = []
    for count in (10_000, 80_000):
        text = start + piece * (count // len(piece))
        began = time.process_time()
        masked(text)
        took.append(time.process_time() - began)
    assert took[1] < 20 * max(took[0], 0.01)
