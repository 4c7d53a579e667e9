"""The docs are those of this code: references are fresh, links lead somewhere, lines are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import reference
from tests.house.product import REPOSITORY

COLUMNS = 120
TEXTS = sorted(
    path
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "tests").rglob("*.md"))
    if "benchmarks" not in path.parts
)


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    return reference.pages()


def test_the_references_are_fresh(written: dict[Path, str]) -> None:
    stale = [name_of(path) for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert not stale, f"{', '.join(stale)}: make docs writes them anew"


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_lines_are_short(path: Path) -> None:
    """But those of tables and pictures, which cannot be broken, and links."""
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [
        number
        for number, line in enumerate(lines, 1)
        if len(line) > COLUMNS and not line.startswith(("|", "![", "    ")) and " " in line.strip("* ")
    ]
    assert not long, f"{name_of(path)}: lines {long}"


def anchors(path: Path) -> set[str]:
    """The places in a page that a link can name."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """The links of a page that stay in this repository."""
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def is_broken(path: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    goal = path.parent / file if file else path
    return not goal.exists() or (bool(anchor) and anchor not in anchors(goal))


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    broken = [link for link in links(path) if is_broken(path, link)]
    assert not broken, f"{name_of(path)}: {broken}"


def wrong_paths(path: Path) -> list[str]:
    """Files of this repository that a page names and that are not there; capitals stand for any name."""
    rooms = "onenet|calibration|export|runtimes|tests|docs|bench|examples"
    named = re.findall(rf"`((?:{rooms})/[\w/.]+)`", path.read_text(encoding="utf-8"))
    fixed = [name for name in named if not re.search(r"[A-Z]{3}", name)]
    return [name for name in fixed if not (REPOSITORY / name).exists()]


@pytest.mark.parametrize("path", [path for path in TEXTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_files_that_are_named_are_there(path: Path) -> None:
    assert wrong_paths(path) == []


def test_a_broken_link_is_seen() -> None:
    page = REPOSITORY / "README.md"
    assert is_broken(page, "docs/nothing.md")
    assert is_broken(page, "docs/design.md#nothing")
    assert not is_broken(page, "docs/design.md#rooms")


def test_the_index_lists_every_page() -> None:
    index = REPOSITORY / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in links(index)}
    missing = [name_of(path) for path in TEXTS if path.is_relative_to(index.parent) and path.resolve() not in listed]
    assert missing == ["docs/README.md"]
