"""Converters print progress, harmless warnings and C++ log lines; a user should see ours only."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and the process's own stdout and stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    disabled = logging.root.manager.disable
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        os.dup2(held.fileno(), 1)
        os.dup2(held.fileno(), 2)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
        finally:
            logging.disable(disabled)
            for copy, original in zip(saved, (1, 2), strict=True):
                os.dup2(copy, original)
                os.close(copy)
