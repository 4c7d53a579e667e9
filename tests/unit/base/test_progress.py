"""Progress that nobody watches still warns."""

from __future__ import annotations

import pytest

from onenet.base.progress import Progress


def test_only_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.start("lowering", 3)
    progress.advance(1)
    with pytest.warns(UserWarning, match="few images"):
        progress.warn("few images")
    assert capsys.readouterr() == ("", "")
