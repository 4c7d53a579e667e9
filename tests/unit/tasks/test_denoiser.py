"""One step of a diffusion is checked by its values, recognised in no output, and not what `onenet run` shows."""

from __future__ import annotations

import numpy as np
import pytest

from onenet.errors import RequestError
from onenet.spec import TensorSpec
from onenet.tasks import recognize, task_of
from onenet.tasks.denoiser import TASK
from onenet.tasks.image import ImageModel


def test_no_outputs_are_taken_for_a_denoisers() -> None:
    assert task_of("denoiser") is TASK
    assert recognize([((1, 1, 8, 8), "float32")])[0] is not TASK
    assert TASK.signature_of([((1, 1, 8, 8), "float32")]) is None


def test_it_has_no_labels_to_compare() -> None:
    values = np.zeros((1, 1, 4, 4), np.float32)
    assert TASK.agreement(values, values, "scores") is None
    assert not TASK.output_roles and not TASK.metrics


def test_a_single_step_is_not_run_as_a_picture() -> None:
    image = TensorSpec("image", "image", (1, 3, 4, 4), "NCHW")
    model = ImageModel("x.onnx", (image,), TensorSpec("estimate", "scores", (1, 1, 4, 4), "NCHW"), (), None, lambda x: x)
    with pytest.raises(RequestError, match="is for denoiser, which `onenet run` does not do"):
        TASK.check_runs(model)
