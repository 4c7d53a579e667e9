"""Pages hold what is written on them."""

from __future__ import annotations

import numpy as np

from onenet.base.drawing import Page, text_width


def test_a_page_is_white_until_something_is_on_it() -> None:
    page = Page(200, 80)
    assert (page.pixels() == 255).all()
    page.entry(20, 40, "nucleus", "#0072b2")
    pixels = page.pixels()
    assert pixels.shape == (80, 200, 3)
    assert (pixels == (0, 0x72, 0xB2)).all(-1).sum() > 150  # a square of 17


def test_a_long_line_is_made_smaller_and_stays_on_the_page() -> None:
    page = Page(200, 80)
    page.text(10, 40, "a line that is much too long for a page of two hundred pixels", 18)
    columns = np.flatnonzero((page.pixels() < 255).any((0, 2)))
    assert columns.max() < 200 - 10
    assert text_width("wide", 18) > text_width("wide", 9) > 0
