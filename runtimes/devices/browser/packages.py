"""The JavaScript packages that the browser device runs: brought by the user's npm, checked, and of each only what a page loads.

They are not part of onenet. They lie in a folder of onenet's own in the user's cache.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onenet.base.files import publish, temporary_folder
from onenet.base.process import converse
from onenet.base.text import one_line
from onenet.errors import ToolError

SECONDS = 600.0
"""npm may take so long."""
INSTALL_NPM = "sudo apt install npm; it is part of Node.js"


@dataclass(frozen=True)
class Package:
    """A pinned npm package, and the files of it that a page loads."""

    name: str
    version: str
    sha512: str
    """SHA-512 of its archive, base64, as npm writes it."""
    files: Mapping[str, str]
    """Path in a page's address -> path in the archive."""

    @property
    def archive(self) -> str:
        """What ``npm pack`` calls it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def folder(self) -> Path:
        """Where its files lie in the cache, a folder of its own for every version."""
        return cache() / self.archive.removesuffix(".tgz")


PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        {
            "onnxruntime-web/ort.wasm.bundle.min.mjs": "dist/ort.wasm.bundle.min.mjs",
            "onnxruntime-web/ort-wasm-simd-threaded.wasm": "dist/ort-wasm-simd-threaded.wasm",
        },
    ),
    Package(
        "@litertjs/core",
        "2.5.3",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {
            "litertjs/core.js": "dist/index.js",
            "litertjs/wasm/litert_wasm_internal.js": "wasm/litert_wasm_internal.js",
            "litertjs/wasm/litert_wasm_internal.wasm": "wasm/litert_wasm_internal.wasm",
            "litertjs/wasm/litert_wasm_threaded_internal.js": "wasm/litert_wasm_threaded_internal.js",
            "litertjs/wasm/litert_wasm_threaded_internal.wasm": "wasm/litert_wasm_threaded_internal.wasm",
        },
    ),
    Package(
        "@litertjs/wasm-utils",
        "2.5.3",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"litertjs/wasm-utils.js": "dist/index.js"},
    ),
)


def npm() -> str | None:
    """Path of the npm program; None where it is not installed."""
    return shutil.which("npm")


def cache() -> Path:
    """The folder of the packages, below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onenet" / "browser"


def missing() -> list[Package]:
    """The packages of which a file is not in the cache."""
    return [each for each in PACKAGES if not all((each.folder / file).is_file() for file in each.files.values())]


def served() -> dict[str, Path]:
    """Path in a page's address -> file."""
    return {address: each.folder / file for each in PACKAGES for address, file in each.files.items()}


def install(say: Callable[[str], None]) -> None:
    """Bring what is missing. No script of a package is run.

    Raises:
        RequestError: the cache cannot be written.
        ToolError: there is no npm, it failed, or what it brought is not the archive that this version was tested with.
    """
    wanted = missing()
    if not wanted:
        return say(f"nothing is missing in {cache()}")
    program = npm()
    if program is None:
        raise ToolError(f"npm is not on PATH; {INSTALL_NPM}")
    with temporary_folder(cache()) as folder:
        names = [f"{each.name}@{each.version}" for each in wanted]
        say(f"npm pack {' '.join(names)}")
        command = [program, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), *names]
        done = converse(command, what="npm", seconds=SECONDS)
        if done.code:
            raise ToolError(f"npm cannot bring {', '.join(names)} (exit code {done.code}): {done.err or 'it gave no reason'}")
        for package in wanted:
            unpack(package, folder / package.archive, folder / package.folder.name)
            publish(folder / package.folder.name, package.folder)
            say(f"{package.name} {package.version} is in {package.folder}")
    return None


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """The files of a package that a page loads, and no others.

    Raises:
        ToolError: it is not the archive that was asked for.
    """
    try:
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.sha512:
            expected = f"SHA-512 {package.sha512[:12]} expected, found {found[:12]}"
            raise ToolError(f"npm brought another {package.name} {package.version}: {expected}")
        with tarfile.open(archive) as content:
            for file in package.files.values():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                member = content.extractfile(f"package/{file}")
                (folder / file).write_bytes(member.read() if member else b"")
    except (FileNotFoundError, KeyError, tarfile.TarError) as error:
        raise ToolError(f"npm brought no whole {package.name} {package.version}: {one_line(error)}") from error


def remove() -> None:
    """Delete the packages' cache; does nothing where it does not exist."""
    shutil.rmtree(cache(), ignore_errors=True)
