"""Layer by layer: clean artifacts are right in every layer, and each planted fault is found in the layer where it is."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

import onenet
from onenet.errors import RequestError
from onenet.export import layers
from onenet.export.export import make_job
from onenet.export.job import Job
from onenet.export.pairs import PAIRS, SUFFIXES
from onenet.export.rebuild import rebuild
from onenet.lowering.graph import DEQUANTIZE, QUANTIZE, aten
from onenet.models.build import build
from onenet.quiet import quiet
from onenet.runtimes.artifact import open_artifact, sidecar_of
from onenet.runtimes.layers import Profile, side_by_side
from onenet.runtimes.parity import may_saturate
from tests.export.conftest import NETS, SHIPPED, Artifacts, model_of, quantized_of, three_levels
from tests.export.faults import FORMATS, flip_high_bit, reverse_rows

TARGETS = tuple(SUFFIXES)
NET = "ed"
