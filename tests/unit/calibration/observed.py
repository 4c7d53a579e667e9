"""A small network whose ranges are known, for the searches."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import nn

import onenet
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.recipe import INT8
from onenet.calibration.scheme import layers_of
from onenet.models.build import build
from tests.conftest import enliven, smooth_images

QUICK = replace(INT8, estimator="min-max", bias_correction=False)
IMAGES = smooth_images(6, 3, 12, 12)
LAYERS = ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"]


@functools.cache
def observed(sensitive: tuple[int, ...]) -> Calibration:
    """Five layers. A sensitive one has a large weight in each filter, for a channel that is always zero.

    The weight sets the filter's int8 scale and does nothing else, so every other weight of the layer rounds to zero.
    """
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), *(nn.Conv2d(8, 8, 1) for _ in range(3)), nn.Conv2d(8, 4, 1)]
    module = nn.Sequential(*(each for layer in layers for each in (layer, nn.ReLU())))[:-1]
    enliven(module, torch.from_numpy(IMAGES))
    with torch.no_grad():
        for place in sensitive:
            layers[place - 1].bias[0] = -100.0  # type: ignore[index]  # a Parameter
            layers[place].weight[:, 0] = 300.0
    calibration = observe(onenet.lower(build(module, input_size=(12, 12))), list(IMAGES))
    assert [name for _, name in layers_of(calibration.program)] == LAYERS
    return calibration
