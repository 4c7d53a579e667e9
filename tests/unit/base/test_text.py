"""One line, whatever a file or another library says."""

from __future__ import annotations

import pytest

from onenet.base.text import first_line, one_line, printable, shape_text, without_style


@pytest.mark.parametrize(("shape", "text"), [((1, 3, -1, 8), "1x3x?x8"), ((), "scalar"), ((7,), "7")])
def test_shapes(shape: tuple[int, ...], text: str) -> None:
    assert shape_text(shape) == text


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert one_line("two\nlines\tand \x1b[31mred") == "two lines and \\x1b[31mred"
    assert one_line("half \ud800") == "half \\ud800"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line("a" * 5000)) == 300


def test_first_line_and_names() -> None:
    assert first_line(ValueError("\n  first\nsecond")) == "first"
    assert first_line(KeyError()) == "KeyError"
    assert printable("a\nb\x00") == "a?b?"


def test_what_was_made_for_a_terminal() -> None:
    assert without_style("\x1b[1;31mred\x1b[0m and \x1b[2Kplain") == "red and plain"
    assert without_style("0 %\r99 %\nnext\r\n") == "99 %\nnext\n"
