"""ExecuTorch with the XNNPACK backend on the literal network, fp32 and quantized by its own quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "executorch==1.5.1")
ROWS = (Row("fp32", "ExecuTorch XNNPACK", "fp32"), Row("int8", "ExecuTorch XNNPACK, PT2E", "int8"))
FILE = "model.pte"


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import torch
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    data = load_data(network)
    example = (torch.from_numpy(data["image"]),)
    module: Any = load_literal(network)
    partitioners, settings = [XnnpackPartitioner()], "default"
    if row.precision == "int8":
        module = quantize(module, example, data["calibration"])
        # One partitioner for both precisions fails on these networks: "Weight and Input should both be quantized".
        order = (ConfigPrecisionType.STATIC_QUANT, ConfigPrecisionType.FP32)
        partitioners = [XnnpackPartitioner(config_precisions=precision) for precision in order]
        settings = f"XNNPACKQuantizer, symmetric, per channel, calibrated on {len(data['calibration'])} images; "
        settings += "partitioned int8 first, then fp32 (the default partitioner fails)"
    program = to_edge_transform_and_lower(torch.export.export(module, example), partitioner=partitioners)
    (out / FILE).write_bytes(program.to_executorch().buffer)
    return {"files": [FILE], "settings": settings}


def quantize(module: Any, example: tuple[Any, ...], images: Any) -> Any:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(module, example).module(), quantizer)
    with torch.no_grad():
        for image in images:
            prepared(torch.from_numpy(image)[None])
    return convert_pt2e(prepared)


def load(out: Path, row: Row, threads: int) -> Loaded:
    import torch
    from executorch.extension.pybindings import portable_lib

    del row
    portable_lib._unsafe_reset_threadpool(threads)
    module = portable_lib._load_for_executorch(str(out / FILE))
    return Loaded(module.forward, lambda image: (torch.from_numpy(image),), lambda results: results[0].numpy())
