"""Edge deployment for segmentation networks: one calibration, verified ONNX, TFLite and Core ML artifacts.

    model = onenet.build("onenet-ed4")
    lowered = onenet.lower(model)
    quantized = onenet.calibrate(lowered, onenet.load_samples("photos/", 256, 256))
    artifact = onenet.export(quantized, target="tflite")
    onenet.verify(artifact.path)

``export_all`` does all of it from one set of options. Every name, with an example: docs/python.md.

Importing this loads neither torch nor a converter; the functions load what they need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onenet.base.images import read_image
    from onenet.calibration.calibrate import calibrate
    from onenet.calibration.samples import load_labelled, load_samples
    from onenet.exporters.batch import export_all
    from onenet.exporters.options import ExportOptions
    from onenet.exporters.pipeline import export
    from onenet.lowering import lower
    from onenet.lowering.tiling import tile
    from onenet.models.build import build
    from onenet.models.facts import Facts
    from onenet.runtimes.measure.bench import bench
    from onenet.runtimes.predictor import open_model
    from onenet.runtimes.report.compare import compare
    from onenet.runtimes.report.write import report
    from onenet.runtimes.run import run
    from onenet.runtimes.verify import verify

__version__ = "0.2.0"

PLACES = {
    "Facts": "onenet.models.facts",
    "build": "onenet.models.build",
    "tile": "onenet.lowering.tiling",
    "lower": "onenet.lowering",
    "calibrate": "onenet.calibration.calibrate",
    "load_samples": "onenet.calibration.samples",
    "load_labelled": "onenet.calibration.samples",
    "export": "onenet.exporters.pipeline",
    "export_all": "onenet.exporters.batch",
    "ExportOptions": "onenet.exporters.options",
    "verify": "onenet.runtimes.verify",
    "run": "onenet.runtimes.run",
    "read_image": "onenet.base.images",
    "open_model": "onenet.runtimes.predictor",
    "bench": "onenet.runtimes.measure.bench",
    "report": "onenet.runtimes.report.write",
    "compare": "onenet.runtimes.report.compare",
}

__all__ = [
    "ExportOptions",
    "Facts",
    "__version__",
    "bench",
    "build",
    "calibrate",
    "compare",
    "export",
    "export_all",
    "load_labelled",
    "load_samples",
    "lower",
    "open_model",
    "read_image",
    "report",
    "run",
    "tile",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module 'onenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
