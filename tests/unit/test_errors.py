"""The tree of errors is the one that is printed above it, with the documented exit codes."""

from __future__ import annotations

import re

from onenet import errors


def test_the_tree_is_what_is_printed() -> None:
    printed = dict(re.findall(r"[├└]─ (\w+)\s+(\d?)", errors.__doc__ or ""))
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and name != "OneNetError"}
    assert set(printed) == set(kinds)
    for name, kind in kinds.items():
        assert issubclass(kind, errors.OneNetError)
        assert not printed[name] or kind.exit_code == int(printed[name])
    assert issubclass(errors.NotShownError, errors.ToolError)
