"""Calibration of any number of samples in the memory of one, in any order."""

from __future__ import annotations

import functools
import json
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import onenet
from onenet.calibration.decide import decide
from onenet.calibration.histogram import Histogram
from onenet.calibration.inputs import sha256
from onenet.calibration.observe import CORRECTION_INPUTS, Calibration, observe
from onenet.calibration.recipe import INT8
from onenet.calibration.samples import Sample, default_calibration, load_samples, stream_samples
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models.build import build
from tests.conftest import smooth_images

Floats = NDArray[np.float32]


@functools.cache
def lowered(height: int = 8, width: int = 8) -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    return onenet.lower(build(module, input_size=(height, width)))


def noise(place: int, height: int = 8, width: int = 8) -> Floats:
    return np.random.default_rng(place).uniform(0, 1, (3, height, width)).astype(np.float32)


def image(sample: Sample) -> Floats:
    return sample.inputs[""]


def seen(calibration: Calibration, half: int) -> Histogram:
    """What was counted of the images."""
    image = next(node.name for node in calibration.program.graph.nodes if node.op == "placeholder")
    return calibration.statistics.halves[image][half]


def state(calibration: Calibration) -> str:
    """Everything that decisions are made from."""
    statistics = {
        name: [[each.exponent, each.low, each.high, sha256(each.counts.tobytes())] for each in halves]
        for name, halves in calibration.statistics.halves.items()
    }
    inputs = [sha256(each.numpy().tobytes()) for (each,) in calibration.inputs]
    return json.dumps([sorted(statistics.items()), sorted(calibration.ids), inputs])


# --- memory -----------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [lambda array, _: array, lambda array, place: Sample({"": array}, str(place), "")], ids=["array", "sample"]
)
def test_samples_are_let_go_one_by_one(wrap: Callable[[Floats, int], Any]) -> None:
    handed_out: list[weakref.ref[Floats]] = []
    most = 0

    def generator() -> Iterator[Any]:
        nonlocal most
        for place in range(40):
            most = max(most, sum(each() is not None for each in handed_out))
            array = noise(place)
            handed_out.append(weakref.ref(array))
            sample = wrap(array, place)
            del array
            yield sample
            del sample

    calibration = observe(lowered(), generator())
    assert len(calibration.ids) == len(handed_out) == 40
    assert most == 1  # the one before, which the loop still holds while it asks for the next


def test_memory_does_not_depend_on_the_number_of_samples() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        observe(lowered(32, 32), (noise(place, 32, 32) for place in range(count)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few = peak(CORRECTION_INPUTS + 2)
    sample = noise(0, 32, 32).nbytes
    assert peak(200) - few < 10 * sample + 200 * 200  # and a digest of each


def test_ten_thousand_images() -> None:
    calls: list[int] = []
    calibration = observe(lowered(4, 4), (noise(place, 4, 4) for place in range(10_000)), calls.append)
    assert len(calls) == len(calibration.ids) == len(set(calibration.ids)) == 10_000
    assert sum(seen(calibration, half).total for half in (0, 1)) == 480_000
    assert len(calibration.inputs) == CORRECTION_INPUTS
    record = decide(calibration, INT8).record
    assert record.samples == 10_000
    assert record.warnings() == []


def test_the_inputs_that_are_kept_do_not_depend_on_the_order() -> None:
    arrays = [noise(place) for place in range(30)]
    smallest = sorted(arrays, key=lambda array: sha256(array.tobytes()))[:CORRECTION_INPUTS]
    kept = observe(lowered(), arrays[::-1]).inputs
    assert [each.shape for (each,) in kept] == [(1, 3, 8, 8)] * CORRECTION_INPUTS
    assert all(np.array_equal(a.numpy()[0], b) for (a,), b in zip(kept, smallest, strict=True))
    twice = observe(lowered(), [*arrays[:3], *arrays[:3]])
    assert (len(twice.inputs), len(twice.ids)) == (3, 6)


# --- order ------------------------------------------------------------------


def test_the_order_of_the_samples_shows_nowhere(tmp_path: Path) -> None:
    arrays = list(smooth_images(12, 3, 8, 8))
    calibrations = [observe(lowered(), order) for order in (arrays, arrays[::-1], arrays[5:] + arrays[:5])]
    assert len({state(each) for each in calibrations}) == 1
    models = [decide(each, INT8) for each in calibrations]
    for place, model in enumerate(models):
        assert model.record.biases
        model.record.save(tmp_path / f"{place}.json")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    tensors = [dict(model.reference.named_buffers()) | dict(model.reference.named_parameters()) for model in models]
    assert all(torch.equal(tensors[0][name], each[name]) for each in tensors for name in tensors[0])


def test_a_sample_s_half_is_its_id_s() -> None:
    arrays = [noise(place) for place in range(12)]
    named = observe(lowered(), [Sample({"": array}, f"{place}", "") for place, array in enumerate(arrays)])
    for half in (0, 1):
        own = [array for place, array in enumerate(arrays) if int(sha256(f"{place}".encode()), 16) % 2 == half]
        assert seen(named, half).total == len(own) * arrays[0].size
        assert (seen(named, half).low, seen(named, half).high) == (np.min(own), np.max(own))


# --- archives ---------------------------------------------------------------


def archive(path: Path, array: NDArray[Any], *, compressed: bool) -> Path:
    save = np.savez_compressed if compressed else np.savez
    save(path, images=array)
    return path


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "nhwc", "uint8"])
def test_an_archive_gives_its_rows(compressed: bool, order: Any, kind: str, tmp_path: Path) -> None:
    images = smooth_images(7, 3, 6, 10)
    stored: NDArray[Any] = {
        "nhwc": lambda: images.transpose(0, 2, 3, 1),
        "uint8": lambda: np.rint(images * 255).astype(np.uint8).transpose(0, 2, 3, 1),
    }.get(kind, lambda: images.astype(kind))()
    expected = np.rint(images * 255) / np.float32(255) if kind == "uint8" else images
    path = archive(tmp_path / "a.npz", np.array(stored, order=order), compressed=compressed)
    stream = stream_samples(path, 6, 10)
    for _ in range(2):  # again for each iteration
        found = list(stream)
        assert [each.file for each in found] == [f"a.npz[{place}]" for place in range(7)]
        assert [each.id for each in found] == [sha256(np.ascontiguousarray(row).tobytes()) for row in stored]
        for each, array in zip(found, expected, strict=True):
            assert (image(each).dtype, image(each).flags.c_contiguous) == (np.float32, True)
            assert np.abs(image(each) - array).max() <= (1e-3 if kind == "float16" else 1e-6)
    picked = list(stream_samples(path, 6, 10, limit=3))
    assert [each.place for each in picked] == [1, 3, 5]
    assert [each.id for each in picked] == [found[place].id for place in (1, 3, 5)]


@pytest.mark.parametrize("compressed", [True, False])
def test_an_archive_is_read_row_by_row(compressed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = archive(tmp_path / "large.npz", rng.uniform(0, 1, (300, 3, 48, 48)).astype(np.float32), compressed=compressed)
    row = 3 * 48 * 48 * 4
    tracemalloc.start()
    total = sum(float(image(sample).sum()) for sample in stream_samples(path, 48, 48))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 0
    assert peak < 30 * row  # of 300


def test_an_archive_and_a_folder_of_the_same_images_are_one_calibration(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    (tmp_path / "folder").mkdir()
    for place, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / "folder" / f"{place}.png")
    archive(tmp_path / "a.npz", pixels, compressed=True)
    sources = [tmp_path / "folder", tmp_path / "a.npz"]
    streamed = [onenet.calibrate(lowered(), stream_samples(each, 8, 8)).record for each in sources]
    loaded = [onenet.calibrate(lowered(), load_samples(each, 8, 8)).record for each in sources]
    assert streamed == loaded
    # Halves go by the files' bytes, which differ; what was seen does not.
    ranges = [
        {name: (site.low, site.high, site.scale, site.zero_point) for name, site in each.sites.items()} for each in streamed
    ]
    assert ranges[0] == ranges[1]
    assert streamed[0].sample_ids == tuple(sorted(sha256(path.read_bytes()) for path in (tmp_path / "folder").iterdir()))


# --- what goes wrong --------------------------------------------------------


def test_unreadable_files_are_replaced_and_listed(tmp_path: Path) -> None:
    for place in range(6):
        Image.fromarray(np.full((8, 8, 3), 40 * place, np.uint8)).save(tmp_path / f"{place}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "4.png").write_bytes(b"")
    stream = stream_samples(tmp_path, 8, 8, limit=3)
    assert (len(stream), stream.skipped) == (3, [])
    record = onenet.calibrate(lowered(), stream).record
    assert record.samples == 3
    whole = stream_samples(tmp_path, 8, 8)
    assert onenet.calibrate(lowered(), whole).record.samples == 4
    for lines in (stream.skipped, whole.skipped):
        assert lines
        assert all(line.startswith("cannot read the image ") and "\n" not in line for line in lines)
    assert sorted(line.split()[4] for line in whole.skipped) == ["1.png:", "4.png:"]


def test_an_error_of_the_source_passes_through() -> None:
    def broken() -> Iterator[Floats]:
        yield noise(0)
        raise RequestError("the camera is unplugged")

    with pytest.raises(RequestError, match=r"^the camera is unplugged$"):
        onenet.calibrate(lowered(), broken())


def test_a_row_outside_zero_to_one_is_refused_when_it_is_reached(tmp_path: Path) -> None:
    rows = np.stack([noise(place) for place in range(4)])
    rows[2, 0, 0, 0] = 255
    path = archive(tmp_path / "a.npz", rows, compressed=True)
    seen = []
    with pytest.raises(RequestError, match=r"a\.npz holds values from .* to 255; expected floats in \[0, 1\], or uint8"):
        seen.extend(stream_samples(path, 8, 8))
    rows[2] = np.nan
    archive(path, rows, compressed=False)
    with pytest.raises(RequestError, match="holds values from nan to nan"):
        onenet.calibrate(lowered(), stream_samples(path, 8, 8))


def test_an_archive_cut_off_is_one_line(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", np.stack([noise(place) for place in range(9)]), compressed=True)
    whole = path.read_bytes()
    for keep in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(RequestError) as caught:
            list(stream_samples(path, 8, 8))
        assert "\n" not in str(caught.value)
    for place in range(60, len(whole) - 200, len(whole) // 17):  # inside the compressed rows
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(RequestError) as caught:
            list(stream_samples(path, 8, 8))
        assert "\n" not in str(caught.value)


def test_an_empty_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no image"):
        stream_samples(tmp_path, 8, 8)


def test_weights_that_overflow_are_named() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        for each in module.parameters():
            each.fill_(3e38 if each.dim() == 4 else 0)
    model = Model(lowered().spec, torch.export.export(module, (torch.zeros(1, 3, 8, 8),), strict=False).module())
    with pytest.raises(
        RequestError, match=r"^\w+ holds NaN or infinity on a calibration image; look at the network's weights$"
    ):
        onenet.calibrate(model, [noise(0)])


def test_the_shipped_images_are_enough() -> None:
    assert len(stream_samples(default_calibration(), 8, 8)) == 32
