"""One way to say that ``build`` refuses a request."""

from __future__ import annotations

from typing import Any

import pytest

from onenet.errors import RequestError
from onenet.models.build import build


def refused(says: str, *arguments: Any, **options: Any) -> str:
    """The text of the refusal: one line that holds ``says``."""
    with pytest.raises(RequestError) as caught:
        build(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert says in text
    return text
