"""Small tables, as text and as HTML."""

from __future__ import annotations

from onenet.base.tables import html_table, text_table


def test_columns_stand_below_their_heads() -> None:
    assert text_table(("file", "ms"), [("a.tflite", "9"), ("b", "10")]) == "file      ms\na.tflite  9\nb         10"


def test_text_stays_text_in_html() -> None:
    page = html_table(("a<b",), [("<script>",)])
    assert "<th>a&lt;b</th>" in page
    assert "<td>&lt;script&gt;</td>" in page
