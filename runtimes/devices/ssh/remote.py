"""What runs at the other end of ``ssh`` beside the agent: looks, takes files, installs, cleans. Python since 3.6; no packages.

Its text is sent to ``python3 -c``, behind it one JSON object (``do`` and what that needs) on a line, and files where it takes
some; it answers one JSON object. Everything lies in FOLDER, files under the SHA-256 of their content. At the end of stdin the
connection is gone: it ends then, and so does what it started.
"""

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

FOLDER = Path(".cache/onenet")
"""In the home folder, where the program is started."""
VENV = FOLDER / "venv"
PLAIN = re.compile("[A-Za-z0-9][A-Za-z0-9._+-]*")
"""Names that a file may have."""
STALE_SECONDS = 3600


def main() -> None:
    """Read one request, a line of JSON on stdin, do it, and print the answer as JSON; an error goes into the answer."""
    request = json.loads(sys.stdin.buffer.readline().decode())
    try:
        answer = TASKS[request["do"]](request)
    except OSError as error:
        answer = failed(f"~/{FOLDER} cannot be written: {error.strerror or error}")
    except subprocess.CalledProcessError as error:
        answer = failed("no virtual environment can be made: " + error.stderr.decode(errors="replace").strip())
    print(json.dumps(answer))


def failed(text: str) -> "dict[str, Any]":
    """The answer that the other end raises as a ToolError with this text."""
    return {"error": "ToolError", "text": text}


def look(request: "dict[str, Any]") -> "dict[str, Any]":
    """What is here: of ``modules`` those that can be imported, and of ``files`` those that are missing or damaged."""
    remove_stale()
    return {
        "python": list(sys.version_info[:3]),
        "bits": 64 if sys.maxsize > 1 << 32 else 32,
        "machine": platform.machine(),
        "system": platform.system() + " " + platform.release(),
        "libc": list(platform.libc_ver()),
        "cores": os.cpu_count(),
        "modules": [name for name in request["modules"] if importlib.util.find_spec(name)],
        "missing": [name for name in request["files"] if sha256_of(FOLDER / "files" / name) != name.partition(".")[0]],
    }


def remove_stale() -> None:
    """What a device that lost its power in the middle left."""
    for part in [*FOLDER.glob("*.part"), *FOLDER.glob("*/*.part")]:
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(str(part)) if part.is_dir() else part.unlink()


def sha256_of(path: Path) -> "str | None":
    """SHA-256 of a file as hex digits; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def take(request: "dict[str, Any]") -> "dict[str, Any]":
    """``files``: name, size and SHA-256 of each that follows on stdin, into ``folder``."""
    folder = FOLDER / checked(request["folder"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, size, sha256 in request["files"]:
        part = folder / f"{checked(name)}.{os.getpid()}.part"
        try:
            with part.open("wb") as file:
                copy(size, file)
            if sha256_of(part) != sha256:
                return failed("a file arrived damaged; run it again")
            part.replace(folder / name)
        finally:
            if part.exists():
                part.unlink()
    return {}


def checked(name: str) -> str:
    """The name, if it is a plain one. Raises ValueError for one that could leave the folder."""
    if not PLAIN.fullmatch(name):
        raise ValueError(name)
    return name


def copy(size: int, file: Any) -> None:
    """Write ``size`` bytes of stdin to a file. Exits with code 3 where stdin ends before."""
    while size:
        block = sys.stdin.buffer.read(min(size, 1 << 16))
        if not block:
            raise SystemExit(3)  # nobody is there any more
        file.write(block)
        size -= len(block)


def install(request: "dict[str, Any]") -> "dict[str, Any]":
    """A virtual environment with the wheels that were taken; it replaces an older one when it is done.

    Without pip, which a fresh Raspberry Pi OS lacks: what to install was resolved at the other end, and a wheel of a library is
    an archive of what belongs into site-packages.
    """
    del request
    part = FOLDER / f"venv.{os.getpid()}.part"
    watch()
    try:
        command = [sys.executable, "-m", "venv", "--without-pip", str(part)]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        (packages,) = part.glob("lib/python*/site-packages")
        for wheel in FOLDER.glob("wheels/*.whl"):
            zipfile.ZipFile(str(wheel)).extractall(str(packages))
        shutil.rmtree(str(VENV), ignore_errors=True)
        part.replace(VENV)
    finally:
        shutil.rmtree(str(part), ignore_errors=True)
    shutil.rmtree(str(FOLDER / "wheels"))
    return {}


def watch() -> None:
    """End at the end of stdin, as if told to."""

    def tell() -> None:
        while os.read(0, 1 << 16):  # not through sys.stdin, whose lock Python would miss at its end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=tell, daemon=True).start()


def leave(number: int, frame: Any) -> None:
    """Signal handler that exits with code 3, so that ``finally`` blocks run."""
    del number, frame
    raise SystemExit(3)


def clean(request: "dict[str, Any]") -> "dict[str, Any]":
    """Remove everything."""
    del request
    if FOLDER.is_symlink():
        FOLDER.unlink()
    elif FOLDER.exists():
        shutil.rmtree(str(FOLDER))
    return {}


TASKS = {"look": look, "take": take, "install": install, "clean": clean}
if __name__ == "__main__":  # what is sent to ``python3 -c`` is
    main()
