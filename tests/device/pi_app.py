"""An emulated Raspberry Pi with this package and its ``runtime`` extra, as pip resolves it for one, and nothing more."""

from __future__ import annotations

import compileall
import functools
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from onenet.errors import ToolError
from tests.device import lab
from tests.house.product import REPOSITORY, ROOMS

SUITE, PYTHON, GLIBC = "bookworm", "3.11", 36
"""Raspberry Pi OS 12."""
PACKAGES = ("python3", "libstdc++6", "libgomp1", "coreutils", "dash", "util-linux", "base-files")
CONF = """EMU_UID=1000
EMU_HOME=/home/pi
EMU_CPU=cortex-a72
EMU_ENV="USER=pi PATH=/usr/bin:/bin OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/home/pi/site"
"""
SITE = "usr/lib/python3/dist-packages"
MOUNT = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
EXAMPLE = REPOSITORY / "examples/pi"


@functools.cache
def wheel() -> Path:
    """This checkout's wheel."""
    folder = Path(tempfile.mkdtemp(prefix="onenet-wheel-"))
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / name, source)
    for room in ROOMS:
        shutil.copytree(REPOSITORY / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (made,) = folder.glob("*.whl")
    return made


def pip(*arguments: str) -> None:
    """Raises ToolError with pip's own words."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"pip {arguments[0]} failed: {done.stderr[-500:]}")


def download(folder: Path) -> None:
    """The wheels of the ``runtime`` extra for the Pi's Python and C library, without this package's own."""
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, GLIBC + 1)]
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms]
    pip("download", "--platform=manylinux2014_aarch64", *options, "--dest", str(folder), f"{wheel()}[runtime]")
    (folder / wheel().name).unlink()


def unpack(wheels: list[Path], folder: Path) -> None:
    """Wheels of libraries are archives of what belongs into site-packages. Compiled here, where that is not emulated."""
    for each in wheels:
        with zipfile.ZipFile(each) as archive:
            archive.extractall(folder)
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


@functools.cache
def tree() -> Path:
    """A Debian tree with everything but this package. Made once; never written afterwards.

    Raises:
        ToolError: packages cannot be had.
    """
    project = (REPOSITORY / "pyproject.toml").read_text()
    needs = [line for line in project.splitlines() if line.startswith(("dependencies", "runtime ="))]

    def finish(root: Path) -> None:
        (root / "emu.conf").write_text(CONF)
        (root / "home/pi").mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            download(Path(folder))
            unpack(sorted(Path(folder).iterdir()), root / SITE)

    return lab.arm64_root(PACKAGES, finish, [*needs, Path(__file__).read_text()], SUITE)


class PiApp:
    """The Pi with ``examples/pi`` in its home folder.

    Args:
        home: its home folder, not there yet. Nothing else of the Pi is written.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        shutil.copytree(EXAMPLE, home)
        unpack([wheel()], home / "site")

    def run(self, *words: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """``python3 WORDS...`` in the home folder."""
        inside = lab.entered(tree(), "/usr/bin/python3", *words)
        places = [str(self.home), str(tree() / "home/pi")]
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", *places, *inside]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
