"""Whether there is a browser here."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from onenet.errors import ToolError
from onenet.runtimes.devices.browser import host as browser_host
from onenet.runtimes.devices.browser import packages as browser_packages

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onenet-lab"
"""Shared by test runs; the user's own packages are elsewhere."""


@functools.cache
def reason_against() -> str | None:
    """Why no page can be measured here; None: one can."""
    if browser_host.find("") is None:
        return f"no Chromium on PATH ({', '.join(browser_host.NAMES)})"
    try:
        browser_packages.install(print)
    except ToolError as error:
        return str(error)
    return None
