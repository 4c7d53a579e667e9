"""Modules whose tests stand in a file of another name."""

from __future__ import annotations

TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "unit/lowering/test_driver.py": (
        "the contract is tested by what drives it",
        (
            "lowering",
            "lowering.rule",
        ),
    ),
    "unit/models/test_build.py": ("building is what they are for", ("model",)),
    "unit/models/test_sources.py": ("what leads to a network, saved programs too", ("models.programs", "models.resolve")),
    "unit/targets/test_targets.py": (
        "every test there takes all cards",
        (
            "targets.coreml",
            "targets.onnx",
            "targets.tflite",
        ),
    ),
    "unit/calibration/test_samples.py": (
        "samples are tested from the files that they come from",
        (
            "calibration.archives",
            "calibration.folders",
        ),
    ),
    "unit/calibration/test_calibrate.py": (
        "parts of one computation, tested by its result",
        (
            "calibration.observe",
            "calibration.outputs",
            "calibration.quantized",
        ),
    ),
    "unit/calibration/test_histogram.py": ("an estimator reads a histogram", ("calibration.estimators",)),
    "unit/models/test_onenet.py": ("the second half of published networks", ("models.decoder",)),
    "export/test_runtimes.py": (
        "needs files that converters write",
        (
            "runtimes",
            "runtimes.backends.litert",
            "runtimes.backends.onnxruntime",
        ),
    ),
    "export/test_mutations.py": ("needs files of which one layer is wrong", ("exporters.alone",)),
    "unit/runtimes/backends/test_null.py": (
        "the runtime without an interpreter",
        (
            "runtimes.artifact",
            "runtimes.session",
        ),
    ),
    "export/test_coreml.py": (
        "needs packages that coremltools writes",
        (
            "runtimes.backends.coreml",
            "runtimes.backends.coreml.messages",
            "runtimes.backends.coreml.package",
        ),
    ),
    "unit/runtimes/backends/coreml/test_program.py": (
        "a program is run operator by operator",
        (
            "runtimes.backends.coreml.layout",
            "runtimes.backends.coreml.messages",
            "runtimes.backends.coreml.operators",
            "runtimes.backends.coreml.spatial",
        ),
    ),
    "unit/runtimes/agent/test_program.py": (
        "the agent is tested whole, in a process of its own",
        (
            "runtimes.agent.content",
            "runtimes.agent.plan",
            "runtimes.agent.records",
            "runtimes.agent.tasks",
            "runtimes.devices.local",
            "runtimes.devices.pack",
        ),
    ),
    "unit/runtimes/devices/test_kinds.py": (
        "every test there takes all kinds",
        (
            "runtimes.devices",
            "runtimes.devices.null",
        ),
    ),
    "unit/cli/test_doctor_devices.py": ("it is what doctor prints", ("runtimes.devices.description",)),
    "device/test_adb.py": (
        "needs an emulated phone",
        (
            "runtimes.devices.adb.android",
            "runtimes.devices.adb.bridge",
            "runtimes.devices.adb.device",
            "runtimes.devices.adb.runners",
        ),
    ),
    "device/test_browser.py": (
        "needs a browser",
        (
            "runtimes.devices.browser.device",
            "runtimes.devices.browser.host",
            "runtimes.devices.browser.packages",
            "runtimes.devices.browser.session",
        ),
    ),
    "device/test_native.py": (
        "needs a compiler",
        (
            "runtimes.devices.native.build",
            "runtimes.devices.native.debian",
        ),
    ),
    "device/test_ssh.py": (
        "needs an emulated Raspberry Pi",
        (
            "runtimes.devices.ssh.device",
            "runtimes.devices.ssh.remote",
        ),
    ),
    "unit/runtimes/test_hostile.py": (
        "files that end the process which opens them",
        (
            "runtimes.isolated",
            "runtimes.verify",
        ),
    ),
    "unit/runtimes/report/test_compare.py": ("its command takes the documents made there", ("cli.compare",)),
    "unit/runtimes/measure/test_campaign.py": (
        "parts of one campaign",
        (
            "runtimes.measure.executors",
            "runtimes.measure.matrix",
        ),
    ),
    "unit/runtimes/test_layers.py": ("it draws profiles that need artifacts of two targets", ("runtimes.report.profile",)),
}
"""Test file -> why there, and the modules below ``onenet``."""

ELSEWHERE = {f"onenet.{name}": (place, reason) for place, (reason, names) in TABLE.items() for name in names}
"""Module -> test file below ``tests``, and why there."""
