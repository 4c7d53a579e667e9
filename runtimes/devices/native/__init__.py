"""The runner for phones, which have no Python: C++, with everything that it needs to start where there is no glibc.

A bundle is a folder: ``runner``, the loader and the C and C++ libraries it was linked with, the runtimes, and ``bundle.json``,
which names them with their SHA-256. ``build`` makes one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import RequestError

DESCRIPTION = "bundle.json"
LOADER, RUNNER = "ld-linux-aarch64.so.1", "runner"
SOURCE = Path(__file__).parent
VARIABLE = "ONENET_NATIVE"
"""Names another folder than ``make native`` writes to."""


@dataclass(frozen=True)
class Bundle:
    """The built runner for phones with its libraries, as its description lists them."""

    folder: Path
    files: dict[str, str]
    """Name -> SHA-256."""
    runtimes: dict[str, dict[str, str]]
    """"litert", "onnxruntime" -> ``library`` (a name of ``files``) and ``version``."""

    def needed(self, runtime: str) -> dict[str, str]:
        """The files that one runtime takes: all but the other runtimes' libraries."""
        others = {each["library"] for name, each in self.runtimes.items() if name != runtime}
        return {name: digest for name, digest in self.files.items() if name not in others}


def default_folder() -> Path:
    """Where ``make native`` puts a bundle: ``build/native`` of a checkout, the user's cache where onenet is installed."""
    checkout = SOURCE.parents[1]
    inside = checkout / "build" if (checkout / "Makefile").is_file() else cache()
    return Path(os.environ.get(VARIABLE) or inside / "native")


def cache() -> Path:
    """The folder of onenet's own files, below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onenet"


def find() -> Bundle:
    """The bundle that was built.

    Raises:
        RequestError: there is none, or a part of it is missing.
    """
    folder = default_folder()
    remedy = "`make native` (or python -m onenet.runtimes.devices.native.build) builds it"
    try:
        content: Any = parse_json((folder / DESCRIPTION).read_bytes())
        bundle = Bundle(folder, dict(content["files"]), dict(content["runtimes"]))
    except OSError as error:
        raise RequestError(f"phones need the native runner, and {folder} holds none; {remedy}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{folder / DESCRIPTION} is damaged ({one_line(error)}); {remedy} again") from error
    missing = [name for name in bundle.files if not (folder / name).is_file()]
    if missing:
        raise RequestError(f"the native runner in {folder} lacks {missing[0]!a}; {remedy} again")
    return bundle
