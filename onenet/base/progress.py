"""What long work tells while it is done."""

from __future__ import annotations

import warnings


class Progress:
    """Steps of a work, how far each is, and warnings. This one shows nothing but warnings, as Python does."""

    def start(self, step: str, total: int | None = None) -> None:
        """A step begins, and the one before has ended.

        Args:
            step: what is done now, for people.
            total: how many parts it has, where that is known.
        """
        del step, total

    def advance(self, count: int) -> None:
        """So many more parts of the step are done."""
        del count

    def warn(self, text: str) -> None:
        """Something that should be known, and stops nothing."""
        warnings.warn(text, UserWarning, stacklevel=3)
