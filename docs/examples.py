"""An example for each public name, for ``python.md``. A test holds them against the functions' signatures."""

from __future__ import annotations

EXAMPLES = {
    "ExportOptions": 'onenet.ExportOptions(model="my_net.py:make", weights="mine.pth", input_size=(320, 240), int8=True)',
    "Facts": 'facts = onenet.Facts(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), class_names=("ground", "road"))',
    "bench": 'onenet.bench("build/onenet-ed4_int8.tflite", ["local", "ssh:pi@raspberrypi"], plan={"threads": (1, 4)})',
    "build": "model = onenet.build(my_module, input_size=(320, 240))",
    "calibrate": "quantized = onenet.calibrate(lowered, samples, min_sqnr=34, evaluation=samples)",
    "compare": 'assert onenet.compare("main/measurements", "build/measurements", fail_above=0.05).passed',
    "export": 'artifact = onenet.export(quantized, target="coreml", out="build", evaluation=samples)',
    "export_all": 'artifacts = onenet.export_all(onenet.ExportOptions(target="onnx", precision=("fp32", "int8")))',
    "load_labelled": 'evaluation = onenet.load_labelled("validation/", 256, 256)',
    "load_samples": 'samples = onenet.load_samples("photos/", 256, 256, limit=32)',
    "lower": 'lowered = onenet.lower(onenet.build("onenet-ed4"))',
    "open_model": 'mask = onenet.open_model("build/onenet-ed4_int8.tflite").predict("photo.jpg")',
    "read_image": 'pixels = onenet.read_image("photo.jpg")  # uint8 (H, W, 3)',
    "report": 'onenet.report("build/measurements", out="build/report", artifacts="build")',
    "run": 'results = onenet.run("build/onenet-ed4_int8.tflite", "photo.jpg", out="masks")',
    "tile": 'model = onenet.tile(onenet.build("onenet-ed4", input_size=(1024, 1024)), 64)',
    "verify": 'assert onenet.verify("build/onenet-ed4_int8.tflite").passed',
}
"""Name -> code."""
