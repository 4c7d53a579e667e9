"""One virtual environment per peer, made once and kept under ``build/bench/venvs``.

Toolchains pin each other's dependencies to versions that exclude one another, so none shares an environment with another.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from onenet.errors import ToolError

LIMIT_S = 1800
STAMP = "installed"


def environment_id(name: str, requirements: Sequence[str]) -> str:
    """``NAME-HASH``: another requirement, another Python or another processor family gives another folder."""
    identity = "\n".join([*requirements, platform.python_implementation(), platform.python_version(), platform.machine()])
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"


def python_of(name: str, requirements: Sequence[str], folder: Path, *, retry: bool = False) -> Path:
    """The interpreter of the environment that holds ``requirements``; of this very one where there are none.

    Raises:
        ToolError: it cannot be installed. The reason is remembered and raised again unless ``retry``.
    """
    if not requirements:
        return Path(sys.executable)
    home = folder / environment_id(name, requirements)
    refused = home.with_name(home.name + ".failed")
    if refused.exists() and not retry:
        raise ToolError(refused.read_text())
    if not (home / STAMP).exists():
        refused.unlink(missing_ok=True)
        install(home, requirements, refused)
    return home / "bin" / "python"


def install(home: Path, requirements: Sequence[str], refused: Path) -> None:
    """Make the environment in place: its scripts hold absolute paths, so it cannot be renamed. The stamp comes last."""
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    try:
        done = subprocess.run(pip, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        reason = pip_reason(done.stderr) if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"pip did not finish within {LIMIT_S} s"
    if reason:
        shutil.rmtree(home, ignore_errors=True)
        refused.write_text(f"does not install: {reason}")
        raise ToolError(refused.read_text())
    (home / STAMP).write_text("\n".join(requirements) + "\n")


def pip_reason(stderr: str) -> str:
    """The first error line of pip's output."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    return next(iter([*errors, *lines[-1:]]), "pip failed")
