"""What is written and printed of a job whose addresses hold credentials holds none, and the job works on."""

from __future__ import annotations

import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.commands.addressed import with_credentials
from pipeline.commands.screen import guard_the_screen
from pipeline.ledger.run_record import recorded_spec, start_record
from pipeline.report.template import load_template
from pipeline.storage.folder import Storage
from pipeline.watching.run_log import RunLog
from schemas.errors import OutputError, SceneError, SpecError
from schemas.job import Source
from schemas.spec_file import load_spec
from stages.ingest.source.files import Root, read_file, root
from stages.ingest.source.listing import list_source

SPEC = """
source:
  uri: https://ann:hunter2@host/in
  storage_options: {client_kwargs: {headers: {X: hunter2}}, block_size: 5}
output: %s
"""


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(SPEC % (tmp_path / "out"))
    return tmp_path / "job.yaml"


def test_run_json_keeps_none_and_a_retry_takes_them_from_the_spec(tmp_path: Path, spec_file: Path) -> None:
    spec, storage = load_spec(spec_file), Storage(str(tmp_path / "out"))
    start_record(storage, spec, ["ingest"])
    assert "hunter2" not in (tmp_path / "out/run.json").read_text()
    start_record(storage, spec, ["ingest"])  # the same job
    recorded = recorded_spec(storage)
    assert recorded.source.uri == "https://ann:***@host/in"
    assert with_credentials(recorded, str(spec_file)).source == spec.source
    with pytest.raises(SpecError, match=r"source.uri and source.storage_options: run.json keeps no credentials; name "):
        with_credentials(recorded, storage.url)
    (tmp_path / "other.yaml").write_text(spec_file.read_text().replace("host/in", "host/elsewhere"))
    with pytest.raises(SpecError, match="source.uri: .* names another place than run.json"):
        with_credentials(recorded, str(tmp_path / "other.yaml"))


def test_a_retry_takes_those_of_the_judges_segmenter_too(tmp_path: Path) -> None:
    address = "https://host/sam_vit_b.pth?X-Amz-Signature=hunter2"
    (tmp_path / "job.yaml").write_text(f"source: {{uri: in}}\noutput: out\nevaluate: {{sam: '{address}'}}\n")
    spec = load_spec(tmp_path / "job.yaml")
    masked_sam = spec.evaluate.model_copy(update={"sam": address.replace("hunter2", "***")})
    recorded = spec.model_copy(update={"evaluate": masked_sam})
    assert with_credentials(recorded, str(tmp_path / "job.yaml")).evaluate.sam == address
    with pytest.raises(SpecError, match=r"evaluate\.sam: run\.json keeps no credentials"):
        with_credentials(recorded, "out")


def test_a_job_without_credentials_is_retried_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("source: {uri: 's3://b/in', storage_options: {anon: true}}\noutput: out\n")
    spec = load_spec(tmp_path / "job.yaml")
    assert with_credentials(spec, "out") is spec


def test_an_address_without_its_credentials_opens_nothing() -> None:
    with pytest.raises(OutputError, match=r"ann:\*\*\*@host/out stands without its credentials"):
        Storage("sftp://ann:***@host/out")
    with pytest.raises(ValueError, match="without its credentials"):
        root(Source(uri="https://host/a.zip?sig=***"))


class Web:
    """As fsspec's HTTP filesystem names things: by their whole address."""

    def unstrip_protocol(self, path: str) -> str:
        return path

    def _strip_protocol(self, url: str) -> str:
        return url


@pytest.mark.parametrize(
    ("uri", "path", "told"),
    [
        ("https://ann:hunter2@host/in", "https://ann:hunter2@host/in/a.jpg", "https://ann:***@host/in/a.jpg"),
        ("https://host/a.jpg?sig=hunter2", "https://host/a.jpg?sig=hunter2", "https://host/a.jpg?sig=***"),
        ("zip://::https://host/a.zip?sig=hunter2", "x/a.jpg", "zip://x/a.jpg::https://host/a.zip?sig=***"),
        ("https://host/in", "https://host/in/a.jpg?v=2", "https://host/in/a.jpg?v=2"),
    ],
)
def test_the_plan_keeps_addresses_that_the_source_completes(uri: str, path: str, told: str) -> None:
    """A new signature is the same place, too."""
    at = Root(Web(), uri, uri)
    assert at.url_of(path) == told
    assert at.path_of(told) == path


class Signed(BaseHTTPRequestHandler):
    """Answers those alone who have the signature."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()
        self.wfile.write(b"here")

    def _answer(self) -> None:
        self.send_response(200 if "sig=hunter2" in self.path else 403)
        self.send_header("Content-Length", "4")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


def test_pictures_are_read_by_such_an_address() -> None:
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Signed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = Source(uri=f"http://127.0.0.1:{server.server_port}/a.jpg?sig=hunter2")
        listing = list_source(source)
        urls = [listing.root.url_of(file.path) for file in listing.pictures]
        assert urls == [f"http://127.0.0.1:{server.server_port}/a.jpg?sig=***"]
        assert read_file(urls[0], source, 100) == b"here"
        without = Source(uri=f"http://127.0.0.1:{server.server_port}/a.jpg?sig=wrong-one")
        with pytest.raises(SceneError, match=r"http://127.0.0.1:\d+/a.jpg\?sig=\*\*\*[:;] "):
            read_file(str(without.uri), without, 100)
    finally:
        server.shutdown()


def test_the_log_the_screen_and_the_report_show_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["unscene", "run", "job.yaml", "--set", "source.storage_options.secret=hunter2"]
    monkeypatch.setattr(sys, "argv", typed)
    log = RunLog(Storage(str(tmp_path)))
    log.say("cannot read https://host/a?sig=hunter2 of b\udcff.jpg")
    log.write()
    text = (tmp_path / log.name).read_text()
    assert "hunter2" not in text
    assert "sig=*** of b\\udcff.jpg" in text
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    guard_the_screen()
    for stream in (sys.stdout, sys.stderr):
        print("sftp://ann:hunter2@host of b\udcff.jpg", json.dumps({"url": "https://h/a?sig=hunter2"}), file=stream)
        stream.flush()
        shown = stream.buffer.getvalue().decode()
        assert "hunter2" not in shown
        assert "b\\udcff.jpg" in shown
    page = load_template("pipeline.protocol.page").environment.from_string("<b>{{ url }}</b> {{ '<i>' }}")
    assert page.render(url="https://h/a?sig=hunter2&x=1") == "<b>https://h/a?sig=***&amp;x=1</b> &lt;i&gt;"
