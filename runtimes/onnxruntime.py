"""ONNX artifacts in ONNX Runtime, on its CPU provider."""

from __future__ import annotations

import mmap
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onenet.errors import CheckError, ToolError
from onenet.runtimes.session import METADATA, all_cores, check_feeds, one_line, parse_manifest, require
from onenet.spec import TensorSpec

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names that are not numpy's."""
QUANTIZED = (b"uantizeLinear", b"QLinear", b"MatMulInteger", b"ConvInteger")
"""Parts of operator names that only a quantized graph holds."""
ERRORS_ONLY = 3


class OnnxSession:
    """A ``Session`` on an ONNX file.

    On x86 CPUs without VNNI the int8 kernels add pairs of products in 16 bits, which saturates: outputs can be 26 steps
    off. ``exact_int8`` keeps every QuantizeLinear/DequantizeLinear pair and computes the operators between them in
    float (session option ``session.disable_quant_qdq``): what the quantized graph means, at the speed of float.
    """

    runs_here = True

    def __init__(self, path: Path, threads: int | None = None, *, exact_int8: bool = False) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or all_cores()
        options.inter_op_num_threads = 1
        if exact_int8:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.path = path
        self.session = make_session(ort, path, options)
        scales = declared_scales(manifest_in(self.session, path), path.name)
        try:
            self.inputs = tuple(spec_of(node, "image", scales) for node in self.session.get_inputs())
            self.outputs = tuple(spec_of(node, "logits", scales) for node in self.session.get_outputs())
        except UnicodeDecodeError as error:
            raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error
        self.runtime: dict[str, Any] = {
            "name": "onnxruntime",
            "version": ort.__version__,
            "kernels": kernels(is_quantized(path), exact_int8),
        }

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        check_feeds(feeds, self.inputs)
        names = [spec.name for spec in self.outputs]
        try:
            results = self.session.run(names, dict(feeds))
        except Exception as error:  # its errors share no base class below Exception
            raise ToolError(f"onnxruntime failed on {self.path.name}: {one_line(error)}") from error
        return dict(zip(names, results, strict=True))


def load(path: Path, threads: int | None, exact_int8: bool) -> OnnxSession:
    return OnnxSession(path, threads, exact_int8=exact_int8)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The entry ``onenet`` of the model's ``metadata_props``."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # nothing will be run
    return manifest_in(make_session(ort, path, options), path)


def has_vnni() -> bool | None:
    """Whether this CPU multiplies int8 into 32-bit sums in one instruction; None where it is not x86 or not known."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else "avx512_vnni" in flags or "avx_vnni" in flags


def import_onnxruntime() -> Any:
    # From 1.30 it reports its use unless told not to before the import: a device id is written and programs are run.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    ort = require("onnxruntime")
    ort.set_default_logger_severity(ERRORS_ONLY)
    return ort


def make_session(ort: Any, path: Path, options: Any) -> Any:
    try:
        # Without enable_fallback=0 it prints a banner and tries a second time.
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its errors share no base class below Exception
        raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error


def manifest_in(session: Any, path: Path) -> dict[str, Any] | None:
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA)
    except UnicodeDecodeError as error:
        raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error
    return None if text is None else parse_manifest(text, path.name)


def declared_scales(manifest: dict[str, Any] | None, where: str) -> dict[str, tuple[float, int]]:
    """Name -> (scale, zero point) from the manifest: an int8 input of an ONNX file does not carry its own."""
    try:
        tensors = [*(manifest or {}).get("inputs", []), *(manifest or {}).get("outputs", [])]
        return {t["name"]: (t["scale"], t["zero_point"]) for t in tensors if t.get("scale") is not None}
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckError(f"the manifest inside {where} has no readable inputs and outputs; export it again") from error


def spec_of(node: Any, role: Any, scales: dict[str, tuple[float, int]]) -> TensorSpec:
    """A session's input or output; its type reads ``tensor(float)``, an open axis is a name or None."""
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    dtype = DTYPES.get(kind, kind)
    shape = tuple(n if isinstance(n, int) else -1 for n in node.shape)
    scale, zero_point = scales.get(node.name, (None, None)) if "int8" in dtype else (None, None)
    return TensorSpec(node.name, role, shape, dtype=dtype, scale=scale, zero_point=zero_point)


def is_quantized(path: Path) -> bool:
    """Whether the graph holds quantization operators. Looks at the bytes: a device has no onnx package to parse it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in QUANTIZED)


def kernels(quantized: bool, exact_int8: bool) -> str:
    if not quantized:
        return "float"
    if exact_int8:
        return "QDQ as float"
    return {True: "int8 VNNI", False: "int8 without VNNI (may saturate)", None: "int8"}[has_vnni()]
