"""Edge deployment for segmentation networks: one calibration, verified ONNX, TFLite and Core ML artifacts.

    model = onenet.build("onenet-ed4")
    lowered = onenet.lower(model)
    quantized = onenet.calibrate(lowered, onenet.load_samples("photos/", 256, 256))
    artifact = onenet.export(quantized, target="tflite")
    onenet.verify(artifact.path)

Importing this loads neither torch nor a converter; the functions load what they need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onenet.calibration.calibrate import calibrate as calibrate
    from onenet.calibration.samples import load_labelled as load_labelled
    from onenet.calibration.samples import load_samples as load_samples
    from onenet.export.export import export as export
    from onenet.lowering import lower as lower
    from onenet.models.build import build as build
    from onenet.runtimes.parity import verify as verify
    from onenet.tiling import tile as tile

__version__ = "0.1.0"

PLACES = {
    "build": "onenet.models.build",
    "tile": "onenet.tiling",
    "lower": "onenet.lowering",
    "calibrate": "onenet.calibration.calibrate",
    "load_samples": "onenet.calibration.samples",
    "load_labelled": "onenet.calibration.samples",
    "verify": "onenet.runtimes.parity",
}

__all__ = ["__version__", "build", "calibrate", "export", "load_labelled", "load_samples", "lower", "tile", "verify"]


def __getattr__(name: str) -> Any:
    if name == "export":  # a package that can be called; see onenet/export/__init__.py
        return importlib.import_module("onenet.export")
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module 'onenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
