"""What a model of several inputs is fed: names, shapes, types and ranges, each refused in one line that names the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import onenet
from onenet.base.arrays import Array
from onenet.calibration.calibrate import calibrate
from onenet.calibration.inputs import InputCheck, digest, sha256, takes_one_image
from onenet.calibration.observe import CORRECTION_INPUTS, observe
from onenet.calibration.outputs import float_outputs
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import Sample, Samples, samples_for, stream_for, stream_samples
from onenet.errors import RequestError
from tests import named

CONDITIONED = "conditioned"


def one(**change: object) -> dict[str, Array]:
    """A sample of ``conditioned`` with some inputs replaced, or left out where None."""
    sample: dict[str, object] = {**named.dictionaries(named.lowered(CONDITIONED), 1)[0], **change}
    return {name: value for name, value in sample.items() if value is not None}  # type: ignore[misc]  # arrays by now


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (one(text=None), "a sample has no text; conditioned takes picture, text, mask, level"),
        (one(txt=np.zeros(6, np.float32)), "a sample has the input 'txt'; conditioned takes picture, text, mask, level"),
        (np.zeros((3, 16, 24), np.float32), "an array without a name; conditioned takes picture, text, mask, level"),
        (one(text=np.zeros(5, np.float32)), r"input text: samples are float32 \(5,\), the model takes floats \(6,\)"),
        (one(text=np.zeros((1, 6), np.float32)), r"input text: samples are float32 \(1, 6\)"),
        (one(text=np.zeros(6, np.int32)), r"input text: samples are int32 \(6,\), the model takes floats"),
        (one(text=np.full(6, np.nan, np.float32)), "input text: a sample goes from nan to nan; expected finite values"),
        (one(mask=np.full((1, 16, 24), np.inf)), "input mask: a sample goes from inf to inf; expected finite values"),
        (one(picture=np.full((3, 16, 24), 1.5)), "input picture: a sample goes from 1.5 to 1.5; expected 0 to 1"),
        (one(level=np.float32(1)), r"input level: samples are float32 \(\), the model takes floats \(1,\)"),
    ],
)
def test_a_bad_sample_names_its_input(sample: dict[str, Array] | Array, says: str) -> None:
    good = named.dictionaries(named.lowered(CONDITIONED), 1)[0]
    with pytest.raises(RequestError, match=says) as caught:
        observe(named.lowered(CONDITIONED), [good, sample])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "says"), [(-1, "from -1 to -1; expected 0 to 9"), (10, "from 10 to 10"), (1.0, "are float64")]
)
def test_whole_numbers_keep_to_their_range(token: float, says: str) -> None:
    model = named.lowered("token")
    sample = {**named.dictionaries(model, 1)[0], "token": np.asarray(token)}
    with pytest.raises(RequestError, match=f"input token: .*{says}"):
        observe(model, [sample])


def test_values_come_in_the_model_s_types_and_order() -> None:
    model = named.lowered("token")
    sample = {**named.dictionaries(model, 1)[0], "token": np.asarray(3, np.uint8), "sigma": np.asarray(0.5, np.float64)}
    result = InputCheck(model)(dict(reversed(sample.items())))
    assert list(result) == ["picture", "token", "sigma"]
    assert [array.dtype.name for array in result.values()] == ["float32", "int32", "float32"]


def test_one_array_s_digest_is_that_of_its_bytes_and_order_never_counts() -> None:
    one_array, other = np.arange(4.0), np.arange(6)
    assert digest({"a": one_array}) == digest({"": one_array}) == sha256(one_array.tobytes())
    assert digest({"a": one_array, "b": other}) == digest({"b": other, "a": one_array})
    assert digest({"a": one_array, "b": other}) != digest({"b": one_array, "a": other})


@pytest.mark.parametrize("name", named.NETWORKS)
def test_the_order_of_names_and_samples_does_not_matter(name: str) -> None:
    model = named.lowered(name)
    samples = named.dictionaries(model, 12)
    straight, turned = calibrate(model, samples), calibrate(model, [dict(reversed(each.items())) for each in samples[::-1]])
    assert straight.record == turned.record
    placeholders = [node for node in straight.reference.graph.nodes if node.op == "placeholder"]
    assert len(placeholders) == len(model.spec.inputs)
    for tensor, limits in zip(model.spec.inputs, straight.input_ranges, strict=True):
        values = np.stack([sample[tensor.name] for sample in samples])
        if tensor.dtype == "float32":
            assert limits is not None
            assert limits == (pytest.approx(min(0, values.min()), abs=0.1), pytest.approx(max(0, values.max()), abs=0.1))
        else:
            assert limits is None  # whole numbers are fed, not quantized


def test_bias_correction_runs_on_complete_samples() -> None:
    model = named.lowered(CONDITIONED)
    calibration = observe(model, named.dictionaries(model, 12))
    assert len(calibration.inputs) == CORRECTION_INPUTS
    for inputs in calibration.inputs:
        assert [each.shape for each in inputs] == [tensor.shape for tensor in model.spec.inputs]
    for inputs, expected in zip(calibration.inputs, calibration.expected, strict=True):
        torch.testing.assert_close([model.module(*inputs)], expected, rtol=1e-5, atol=1e-5)


def test_a_record_names_every_input(tmp_path: Path) -> None:
    model = named.lowered(CONDITIONED)
    quantized = calibrate(model, named.dictionaries(model, 12))
    assert quantized.record.as_dict()["model"]["inputs"] == {  # type: ignore[index]  # a dictionary
        "picture": (1, 3, 16, 24), "text": (1, 6), "mask": (1, 1, 16, 24), "level": (1, 1),
    }  # fmt: skip
    quantized.record.save(tmp_path / "record.json")
    assert calibrate(model, CalibrationRecord.load(tmp_path / "record.json")).outputs == quantized.outputs
    with pytest.raises(RequestError, match="belongs to a model with name conditioned, this one has change"):
        calibrate(named.lowered("change"), quantized.record)


# --- archives ---------------------------------------------------------------


def archive(path: Path, **arrays: Array) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's own words
    return path


@pytest.mark.parametrize("name", named.NETWORKS)
def test_an_archive_holds_samples_by_name(name: str, tmp_path: Path) -> None:
    model, arrays = named.lowered(name), named.stacked(named.lowered(name), 7)
    path = archive(tmp_path / "a.npz", **dict(reversed(arrays.items())))
    samples = list(stream_for(model, path))
    assert [sample.file for sample in samples] == [f"a.npz[{place}]" for place in range(7)]
    for place, sample in enumerate(samples):
        assert list(sample.inputs) == [tensor.name for tensor in model.spec.inputs]
        assert all(np.array_equal(array, arrays[key][place]) for key, array in sample.inputs.items())
    assert [sample.place for sample in stream_for(model, path, 3)] == [1, 3, 5]
    loaded = samples_for(model, path)
    assert loaded.ids == tuple(sample.id for sample in samples)
    assert len(set(loaded.ids)) == 7
    assert all(np.array_equal(array, arrays[key]) for key, array in loaded.feeds(model).items())
    assert calibrate(model, stream_for(model, path)).record == calibrate(model, loaded).record


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": None}, "lacks the array 'text'; conditioned takes picture, text, mask, level"),
        ({"txt": np.zeros(4)}, "has, for no input, the array 'txt'"),
        ({"text": np.zeros((3, 6))}, "holds 4 of picture, 3 of text, 4 of mask, 4 of level"),
        ({"text": np.float32(3)}, "holds 4 of picture, 0 of text"),
        ({"text": np.zeros((4, 5))}, r"sample 0: input text: samples are float64 \(5,\)"),
        ({"mask": np.full((4, 1, 16, 24), np.nan)}, "sample 0: input mask: .* expected finite values"),
        ({"picture": np.zeros((4, 3, 8, 8))}, r"input picture: .*a\.npz holds float64 \(4, 3, 8, 8\); expected uint8"),
        ({"picture": np.full((4, 3, 16, 24), 2.0)}, "input picture: a sample goes from 2 to 2; expected 0 to 1"),
        ({"text": np.array(["a"] * 4)}, "input text: samples are <U1"),
        ({"text": np.array([None] * 4)}, "pickled objects"),
    ],
)
def test_an_archive_that_does_not_fit(change: dict[str, Array], says: str, tmp_path: Path) -> None:
    model = named.lowered(CONDITIONED)
    arrays = {**named.stacked(model, 4), **change}
    path = archive(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(RequestError, match=says) as caught:
        list(stream_for(model, path))
    assert "\n" not in str(caught.value)
    assert "a.npz" in str(caught.value)


def test_pictures_in_bytes_are_resized_like_files(tmp_path: Path) -> None:
    model = named.lowered(CONDITIONED)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 30, 3)).astype(np.uint8)
    path = archive(tmp_path / "a.npz", **{**named.stacked(model, 4), "picture": pixels})
    alone = archive(tmp_path / "b.npz", images=pixels)
    for sample, picture in zip(stream_for(model, path), stream_samples(alone, 16, 24), strict=True):
        assert np.array_equal(sample.inputs["picture"], picture.inputs[""])


def test_a_folder_of_images_is_not_enough_for_several_inputs(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"give an \.npz file with the arrays before, after"):
        stream_for(named.lowered("change"), tmp_path)
    assert not takes_one_image(named.lowered("change").spec)


# --- evaluation -------------------------------------------------------------


@pytest.mark.parametrize("name", named.NETWORKS)
def test_outputs_do_not_depend_on_the_batch(name: str) -> None:
    model = named.lowered(name)
    feeds = named.stacked(model, 5)
    batch = model.spec.inputs[0].shape[0]
    for place in range(5):
        alone = {key: np.repeat(array[place : place + 1], batch, 0) for key, array in feeds.items()}
        np.testing.assert_allclose(float_outputs(model, alone)[0], float_outputs(model, feeds)[place], atol=1e-5)
    turned = float_outputs(model, dict(reversed(feeds.items())))
    assert np.array_equal(turned, float_outputs(model, feeds))


def test_samples_in_memory_are_looked_at() -> None:
    model = named.lowered(CONDITIONED)
    arrays = named.stacked(model, 3)
    assert list(Samples("s", dict(reversed(arrays.items())), ("",) * 3, ("",) * 3).feeds(model)) == list(arrays)
    arrays["text"][2, 0] = np.inf
    with pytest.raises(RequestError, match="input text"):
        Samples("s", arrays, ("",) * 3, ("",) * 3).feeds(model)
    with pytest.raises(RequestError, match="one array was asked for, s has picture, text, mask, level"):
        _ = Samples("s", arrays, (), ()).arrays


def test_a_sample_by_name_is_one_without_a_name_where_there_is_one_input() -> None:
    module = torch.nn.Conv2d(3, 4, 1)
    model = onenet.lower(onenet.build(module, input_size=(8, 8)))
    arrays = [np.random.default_rng(place).random((3, 8, 8), np.float32) for place in range(3)]
    (name,) = (tensor.name for tensor in model.spec.inputs)
    records = [
        calibrate(model, samples).record
        for samples in (
            arrays,
            [{name: each} for each in arrays],
            [Sample({"": each}, digest({"": each}), "") for each in arrays],
        )
    ]
    assert records[0] == records[1] == records[2]
