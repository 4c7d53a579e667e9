"""One step of a diffusion: an estimate of a clean mask from a noisy one, beside the image and what it is conditioned on."""

from __future__ import annotations

from onenet.tasks import Task


class Denoiser(Task):
    """Its values are checked. A sampler makes a mask of many steps; one alone shows nothing."""

    name = title = "denoiser"
    order = 900


TASK = Denoiser()
