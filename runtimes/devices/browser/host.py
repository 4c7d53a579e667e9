"""What stands around a page that measures: a server on the loopback interface, and a Chromium of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from onenet.base import process as programs
from onenet.base.data import parse_json
from onenet.base.files import temporary_folder
from onenet.base.text import one_line
from onenet.errors import ToolError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Programs that are tried, in this order."""
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
)
LOOPBACK_ONLY = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""A browser has errands of its own; none leaves this machine while it measures."""
HELD = ("/bin/sh", "-c", 'exec "$0" "$@" 3<&0 4>&1')
"""Gives Chromium its stdin and stdout as the pipe of ``--remote-debugging-pipe``: it ends at the end of file there, and so
with this process, however that ends. Nothing is ever said through it."""
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
HEADERS = {
    # Both together isolate the page: without it there is no shared memory, so no threads, and the clock is coarse.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
SILENCE = 30.0
"""Seconds after which a connection that says nothing is closed."""
GRACE = 5.0
"""Seconds beyond those that the page was given, for its answer to arrive."""
GONE = "gone"


class Server(ThreadingHTTPServer):
    """Gives a page the files it is told to, under an address nobody can guess, and takes what it answers."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes | Path], largest: Mapping[str, int]) -> None:
        """``files``: by path; "" is the page. ``largest``: what is taken, and how many bytes of it; "answer" is the last."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.prefix = f"/{secrets.token_urlsafe(16)}/"
        self.files, self.largest = files, largest
        self.taken = dict[str, bytes]()
        self.answers = queue.Queue[bytes | str]()
        """An answer, or what is wrong with one; GONE: the page does not live any more."""
        self.over = threading.Event()

    @property
    def address(self) -> str:
        """The page's URL on the loopback interface, with the secret prefix that requests must carry."""
        return f"http://127.0.0.1:{self.server_port}{self.prefix}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser hangs up in the middle of a response when it is ended: nothing that anybody must know."""


class Handler(BaseHTTPRequestHandler):
    """Answers the page of a ``Server``."""

    server: Server
    timeout = SILENCE
    server_version, sys_version = "onenet", ""

    @property
    def name(self) -> str | None:
        """The path below the token; None: the token is not there."""
        return self.path.removeprefix(self.server.prefix) if self.path.startswith(self.server.prefix) else None

    def do_GET(self) -> None:
        """Answer with a file of the server; 404 for any other name. ``alive`` is held open while the page lives."""
        if self.name == "alive":
            return self.watch()
        content = None if self.name is None else self.server.files.get(self.name)
        if content is None:
            return self.send_error(404)
        body = content.read_bytes() if isinstance(content, Path) else content
        self.send_response(200)
        kind = TYPES.get(content.suffix) if isinstance(content, Path) else None
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        for key, value in HEADERS.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
        return None

    def do_POST(self) -> None:
        """Take an answer of the page; 404 for an unknown name, 413 for one of unknown length or above the limit."""
        name = self.name or ""
        if name not in self.server.largest:
            return self.send_error(404)
        length, largest = self.headers.get("Content-Length", ""), self.server.largest[name]
        if not length.isdecimal() or int(length[:20]) > largest:
            size = f"{length[:20]} bytes" if length.isdecimal() else "unknown length"
            self.server.answers.put(f"sent an answer of {size}; at most {largest} bytes are read")
            return self.send_error(413)
        body = self.rfile.read(int(length))
        if len(body) == int(length):
            self.server.taken[name] = body
            self.send_response(204)
            self.end_headers()
            if name == "answer":
                self.server.answers.put(body)
        return None

    def watch(self) -> None:
        """Wait for the page's end, which breaks its connections."""
        while not self.server.over.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.server.answers.put(GONE)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Nobody reads it."""


@contextlib.contextmanager
def serving(files: Mapping[str, bytes | Path], largest: Mapping[str, int]) -> Iterator[Server]:
    """A server in a thread of its own for the length of the ``with`` block; ``largest`` holds bytes by name of answer."""
    with Server(files, largest) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def browsing(program: str, address: str) -> Iterator[Chromium]:
    """A Chromium that shows a page, with a fresh profile, which goes with it.

    Raises:
        ToolError: it cannot be started.
    """
    with temporary_folder() as folder:
        # What would be left in ~/.config and ~/.cache is left in here. Not TMPDIR: sockets there may have no long path.
        places = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(folder))
        with (folder / "stderr").open("w+b") as stderr:
            browser = Chromium(program, address, folder, stderr, {**os.environ, **places})
            try:
                yield browser
            finally:
                browser.end()
                remove_socket(folder / "profile/SingletonSocket")


def remove_socket(link: Path) -> None:
    """A Chromium that was killed leaves it in a folder of its own in /tmp, which its profile has a link to."""
    with contextlib.suppress(OSError):
        folder = link.readlink().parent
        for name in ("SingletonSocket", "SingletonCookie"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


class Chromium:
    """A browser that runs, until ``end``."""

    def __init__(self, program: str, address: str, folder: Path, stderr: IO[bytes], environment: dict[str, str]) -> None:
        flags = [*FLAGS, LOOPBACK_ONLY, "--remote-debugging-pipe", f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags.append("--no-sandbox")  # it refuses to start as root otherwise
        self.program, self.stderr = program, stderr
        command = [*HELD, program, *flags, address]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{program} cannot be started ({error.strerror or error})") from error
        programs.RUNNING.add(self.process)

    def end(self) -> None:
        """It ends at the end of its stdin. What is left of its processes then is killed."""
        programs.RUNNING.discard(self.process)
        programs.end(self.process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ending(self) -> str | None:
        """How it ended; None: it runs."""
        code = self.process.poll()
        if code is None:
            return None
        self.stderr.seek(-min(4096, self.stderr.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = self.stderr.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.strip() and "dbus" not in line]  # where no desktop runs, all talk of that
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}{': ' + one_line(said[-1]) if said else ''}"


def answer(
    files: Mapping[str, bytes | Path], program: str, *, largest: Mapping[str, int], seconds: float
) -> tuple[object, dict[str, bytes]]:
    """Show a page to a new browser, and give what it answers: parsed JSON, nothing else known of it, and what came before it.

    Raises:
        ToolError: the browser cannot be started or dies, or no answer, or none of ours, came within ``seconds``.
    """
    with serving(files, largest) as server, browsing(program, server.address) as browser:
        found = wait(server, browser, seconds)
        if found == GONE:
            with contextlib.suppress(subprocess.TimeoutExpired):
                browser.process.wait(1.0)
            raise ToolError(f"{program} {browser.ending() or 'lost its page, as happens where memory runs out'}")
    if isinstance(found, str):
        raise ToolError(f"the page in {program} {found}")
    try:
        return parse_json(found), server.taken
    except ValueError as error:
        raise ToolError(f"the page in {program} answered with no JSON ({one_line(error)})") from error


def wait(server: Server, browser: Chromium, seconds: float) -> bytes | str:
    """What comes first, an answer or what went wrong with it.

    Raises:
        ToolError: the browser died, or neither came.
    """
    deadline = time.monotonic() + seconds + GRACE
    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            return server.answers.get(timeout=0.2)
        if how := browser.ending():
            raise ToolError(f"{browser.program} {how}")
    late = f"gave no answer within {seconds:.0f} s and was closed; a larger --timeout waits longer"
    raise ToolError(f"the page in {browser.program} {late}")


def find(path: str) -> str | None:
    """The Chromium to use: at ``path``, or where that is empty, the first one on PATH."""
    return next((found for found in map(shutil.which, [path] if path else NAMES) if found), None)


def version(program: str) -> str:
    """What it calls itself, such as "Chromium 150.0.7871.100".

    Raises:
        ToolError: it does not start.
    """
    done = programs.converse([program, "--version"], what=program, seconds=30)
    if done.code:
        raise ToolError(f"{program} {programs.ending(done)}")
    return one_line(" ".join(done.out.decode(errors="replace").split(" built on ")[0].split()))
