"""A headless Chromium, spoken to over two pipes (`--remote-debugging-pipe`): no driver, no port, no network."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")


class Browser:
    """One tab. downloads: the folder that it saves files to; asked_for: every address that it has requested, but for
    what lies in the page itself."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int, downloads: Path) -> None:
        self.process, self.downloads = process, downloads
        self.asked_for: list[str] = []
        self._saving: dict[str, str] = {}
        self._saved: list[Path] = []
        self._write, self._read, self._number = write, os.fdopen(read, "rb"), 0
        self._buffer, self._session = b"", ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self._send(f"{domain}.enable")
        self._send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads), eventsEnabled=True)

    def open(self, page: Path, fragment: str = "") -> None:
        """Loads a file, and waits until it is there."""
        self.visit("about:blank")  # else another fragment of the page in hand loads nothing
        self.visit(page.as_uri() + fragment)

    def visit(self, url: str) -> None:
        self._send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page. Raises AssertionError for what it throws."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key, as a keyboard sends it."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9}.get(key, ord(key.upper()) if len(key) == 1 else 0)
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if kind == "keyDown" and text else {}
            self._send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def screen(self, width: int, height: int, scheme: str = "light") -> None:
        """A window of so many pixels, of a person who likes `light` or `dark`."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def photograph(self, to: Path, whole: bool = True) -> None:
        """whole: the page, not only what the window shows of it."""
        to.write_bytes(base64.b64decode(self._send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def wait_for(self, script: str) -> None:
        """Until an expression is true in the page; 20 s at most."""
        waiting = (
            "new Promise((ready, late) => { const end = Date.now() + 20000; const look = () => { if (%s) ready(); "
        )
        waiting += (
            "else if (Date.now() > end) late(new Error('waited too long')); else setTimeout(look, 20); }; look(); })"
        )
        self.run(waiting % script)

    def downloaded(self, do: Callable[[], object]) -> Path:
        """The file that the page saves when `do` is done to it."""
        before = len(self._saved)
        do()
        while len(self._saved) == before:
            self._next()
        return self._saved[-1]

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            block = os.read(self._read.fileno(), 1 << 16)
            assert block, "the browser has ended"
            self._buffer += block
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        if found.get("method") == "Network.requestWillBeSent":
            url = found["params"]["request"]["url"]
            self.asked_for += [] if url.startswith(("data:", "blob:")) else [url]
        elif found.get("method") == "Browser.downloadWillBegin":
            self._saving[found["params"]["guid"]] = found["params"]["suggestedFilename"]
        elif found.get("method") == "Browser.downloadProgress" and found["params"]["state"] == "completed":
            self._saved.append(self.downloads / self._saving[found["params"]["guid"]])
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser of its own, with a profile and downloads in `folder`. Skips the test where none is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser here (looked for {', '.join(NAMES)})")
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()

    def as_three_and_four() -> None:  # the numbers that the browser looks for
        kept = os.dup(theirs_out)
        os.dup2(theirs_in, 3)
        os.dup2(kept, 4)
        for pipe in (3, 4):
            os.set_inheritable(pipe, True)

    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        preexec_fn=as_three_and_four,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(process, ours_out, ours_in, downloads)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_out)
