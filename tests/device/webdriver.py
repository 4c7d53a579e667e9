"""A headless Chromium with a fake camera, driven through its chromedriver by the W3C WebDriver protocol.

Selenium would do, but it needs a typing-extensions that the converters' pins exclude.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def reason_against() -> str | None:
    """Why no page can be driven here; None: one can."""
    missing = [name for name in ("chromedriver", "node", "npm") if shutil.which(name) is None]
    return f"{missing[0]} is not on PATH" if missing else None


class Page:
    """One window."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """A command of the protocol. Raises RuntimeError with the driver's words."""
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"].splitlines()[0]) from error

    def run(self, script: str, *arguments: object) -> Any:
        """The value of an asynchronous function's body."""
        called = f"(async (...args) => {{{script}}})(...arguments)"
        text = f"const done = arguments[arguments.length - 1]; {called}.then(done, (error) => done(`${{error}}`))"
        return self.ask("POST", "/execute/async", {"script": text, "args": list(arguments)})

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an input, as a person's choice would."""
        found = self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        self.ask("POST", f"/element/{found}/value", {"text": "\n".join(map(str, files))})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(args[0]).textContent", selector))

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what} did not come; the page says: {self.text('#status')}"
            time.sleep(0.05)

    def errors(self) -> list[str]:
        """What the console was told since the last call, but for what is no error."""
        return [each["message"] for each in self.ask("POST", "/se/log", {"type": "browser"}) if each["level"] == "SEVERE"]

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))


@contextlib.contextmanager
def open_page(address: str, size: tuple[int, int] = (800, 1200), *, camera: bool = True) -> Iterator[Page]:
    """A window of a fresh browser. ``camera``: whether its user allows it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page, session = Page(f"http://127.0.0.1:{port}"), None
    try:
        wait_for(page)
        flags = [
            *FLAGS,
            f"--window-size={size[0]},{size[1]}",
            *(["--use-fake-ui-for-media-stream"] if camera else ["--deny-permission-prompts"]),
        ]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
        session = page.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        page.address += f"/session/{session}"
        page.ask("POST", "/timeouts", {"script": 120_000})
        page.ask("POST", "/url", {"url": address})
        yield page
    finally:
        if session:
            with contextlib.suppress(RuntimeError, OSError):
                page.ask("DELETE", "")
        driver.terminate()
        driver.wait(30)


def wait_for(page: Page) -> None:
    """Until the driver answers."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            if page.ask("GET", "/status")["ready"]:
                return
        time.sleep(0.05)
    raise RuntimeError("chromedriver does not answer")
