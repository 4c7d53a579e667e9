"""The report as Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re

from onenet.runtimes.report import tables
from tests.unit.runtimes.report.pages import hostile


def test_hostile_text_stays_text_in_markdown() -> None:
    report = hostile()
    text = tables.markdown(report.documents, report.gates)
    assert "<" not in text
    for line in text.splitlines():
        assert not re.search(r"(?<!\\)[`*\]]|(?<!\\)\[|(?<![\w;\\])@", line)
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells in (6, 7, 4, 12, 5, 13)


def test_hostile_text_is_no_formula_in_csv() -> None:
    for text in (tables.rows_csv(hostile().documents), tables.samples_csv(hostile().documents)):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert "'=2+2" in cells
        assert not any(cell.startswith(("=", "@")) for cell in cells)
