"""A real browser for pages: Chromium, without a window, driven over a pipe.

It speaks the Chrome DevTools Protocol, NUL-terminated JSON on the descriptors 3 and 4:
https://chromedevtools.github.io/devtools-protocol/,
https://chromium.googlesource.com/chromium/src/+/main/content/browser/devtools/devtools_pipe_handler.cc
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWERS_WITHIN = 100.0
"""Seconds; a page takes a few hundred milliseconds."""

_FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--hide-scrollbars", "--force-color-profile=srgb"),
    # The pages are our own, and containers lack what the sandbox needs.
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    # It must ask nobody on the network.
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
_LAUNCH = (
    "import os, sys; reads, writes = map(int, sys.argv[1:3]); "
    "reads, writes = os.dup(reads), os.dup(writes); os.dup2(reads, 3); os.dup2(writes, 4); "
    "os.set_inheritable(3, True); os.set_inheritable(4, True); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def executable() -> str | None:
    """The browser of this machine: Debian's package `chromium`, or Chrome of a CI service."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """A page as one reader sees it."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; the page's own policy does not concern it."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """A PNG of the whole page."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    @property
    def complaints(self) -> list[str]:
        """What the browser has logged about the page, such as what its policy has blocked."""
        return [
            event["params"]["entry"]["text"]
            for event in self._browser.events
            if event["method"] == "Log.entryAdded" and event.get("sessionId") == self._session
        ]

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)


@dataclass(frozen=True)
class View:
    """A window and its reader's preference."""

    width: int
    dark: bool = False

    def __str__(self) -> str:
        return f"{self.width}-{'dark' if self.dark else 'light'}"


class Browser:
    """A running browser."""

    def __init__(self, process: "subprocess.Popen[bytes]", writes: int, reads: int) -> None:
        self._process, self._writes, self._reads = process, writes, reads
        self._buffer = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=1_000)

    @contextmanager
    def show(self, html: str, view: View) -> Iterator[Page]:
        """A page of this HTML."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.html"
            file.write_text(html, encoding="utf-8")
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
            session = attached["sessionId"]
            for domain in ("Page", "Log", "Runtime"):
                self.ask(f"{domain}.enable", session)
            metrics = {"width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            self.ask("Emulation.setDeviceMetricsOverride", session, **metrics)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if view.dark else "light"}
            self.ask("Emulation.setEmulatedMedia", session, features=[scheme])
            self.events.clear()
            self.ask("Page.navigate", session, url=file.as_uri())
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self.events.append(self._receive())
            yield Page(self, session)
            self.ask("Target.closeTarget", targetId=target)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        os.write(self._writes, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            self.events.append(message)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reads], [], [], ANSWERS_WITHIN)
            part = os.read(self._reads, 1 << 20) if ready else b""
            assert part, f"the browser does not answer: exit code {self._process.poll()}"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))


@contextmanager
def run(path: str) -> Iterator[Browser]:
    """A browser with a new, empty profile."""
    child_reads, writes = os.pipe()
    reads, child_writes = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, str(child_reads), str(child_writes)),
                *(path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(child_reads, child_writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(child_reads)
        os.close(child_writes)
        try:
            browser = Browser(process, writes, reads)
            yield browser
            browser.ask("Browser.close")
            process.wait(ANSWERS_WITHIN)
        finally:
            process.kill()
            process.wait()
            os.close(writes)
            os.close(reads)
