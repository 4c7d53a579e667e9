"""The installed package with the toys added: ``python -m tests.house.toybox doctor`` is ``onenet doctor`` with them.

Every folder of the product that is a table gets one more place to look for files. Nothing of the product is changed.
"""

from __future__ import annotations

import importlib
from pathlib import Path

TOYS = Path(__file__).parent / "toys"
FOLDERS = {
    "onenet.targets": "targets",
    "onenet.exporters": "exporters",
    "onenet.runtimes.backends": "backends",
    "onenet.runtimes.devices": "devices",
    "onenet.tasks": "tasks",
    "onenet.models.cards": "models",
    "onenet.lowering.rules": "rules",
}
"""Package -> folder of toys."""


def add_toys() -> None:
    """Append the folders of toys to the packages' paths."""
    for package, folder in FOLDERS.items():
        path = importlib.import_module(package).__path__
        if str(TOYS / folder) not in path:
            path.append(str(TOYS / folder))


if __name__ == "__main__":
    add_toys()
    from onenet.cli.app import main

    main()
