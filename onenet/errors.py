"""Every error a user can meet, and the exit code the command line gives it.

    OneNetError
     ├─ CheckError      1  an artifact, a budget or a comparison failed its check
     ├─ RequestError    2  the request cannot be carried out as written
     └─ ToolError       3  a converter, runtime, file system or device failed
         ├─ ConversionError  a converter, or what checks its file, failed on the network at hand
         └─ NotShownError    a runtime cannot show what was asked of it

A message is one line: what was asked, what was found, what is supported, what to do. ``details`` may show more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class OneNetError(Exception):
    """Base of every error that onenet raises on purpose.

    Attributes:
        details: lines that show more of what was found, such as the names of two sides beside each other; mostly none.
    """

    exit_code = 3

    def __init__(self, text: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.details = tuple(details)


class CheckError(OneNetError):
    """A check ran and failed: parity, structure, a budget."""

    exit_code = 1


class RequestError(OneNetError):
    """The request is wrong: an unknown name, an impossible pair, an unreadable input."""

    exit_code = 2


class ToolError(OneNetError):
    """A tool, a runtime, the file system or a device failed."""

    exit_code = 3


class ConversionError(ToolError):
    """A converter, or what checks its file, failed on the network at hand.

    Attributes:
        operator: at which it failed, as torch names it (``asinh``); empty where that is not known.
        layer: the module path of that operator in the user's network (``blocks.0.act``); empty where it is not known, and for
            the network's own ``forward``.
    """

    def __init__(self, text: str, operator: str = "", layer: str = "") -> None:
        super().__init__(text)
        self.operator, self.layer = operator, layer


class NotShownError(ToolError):
    """This runtime cannot show what was asked: its operators, their times, what is between them."""
