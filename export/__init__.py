"""Exporters, one file per target. The package can also be called: ``onenet.export(model, target="tflite")``.

``onenet.export`` is the name of this package and of the function users want, so the package answers a call with
``onenet.export.export.export``. Nothing heavy is imported before that.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onenet.export.export import ExportedArtifact


class CallablePackage(ModuleType):
    """See ``onenet.export.export.export`` for the arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> ExportedArtifact:
        from onenet.export.export import export

        return export(*args, **kwargs)


sys.modules[__name__].__class__ = CallablePackage
