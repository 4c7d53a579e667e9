"""Folders and archives of samples to model inputs, one at a time: ten thousand samples need the memory of one.

For one model, by the names of its inputs:  stream_for(model, source)        samples_for(model, source)
Images alone:                               stream_samples(source, h, w)     load_samples(source, h, w)
Images with their labels:                                                    load_labelled(folder, h, w)

Streams are read one by one, which is what calibration needs; the others are held in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onenet.base.arrays import Array
from onenet.base.images import Floats, Pixels, check_request, decode, read_bytes, to_input
from onenet.calibration.archives import arrays_of, check_counts, check_unit, image_rows, opened_archive, opened_array, rows_of
from onenet.calibration.folders import ReadFile, base_name, evenly, read_folder, some_images
from onenet.calibration.inputs import UNNAMED, InputCheck, digest, named, sha256, takes_one_image
from onenet.errors import RequestError
from onenet.model import Model
from onenet.spec import ClassSpec
from onenet.tasks import TASKS


@dataclass(frozen=True, eq=False)
class Sample:
    """What a model is fed once, and where it came from."""

    inputs: dict[str, Array]
    """One array for each input, by its name, without the batch. An image is (C, H, W) in [0, 1]. One array under the name ""
    is for the only input of whatever model meets it."""
    id: str
    """SHA-256: of the image file's bytes, or of the sample's bytes as an .npz stores them."""
    file: str
    """Base name; ``NAME.npz[3]`` for the fourth sample of an archive."""
    place: int = 0
    """Its position in the source, in name order."""


class SampleStream:
    """Samples read one by one, again for each iteration.

    ``len`` is how many are wanted, which unreadable files can undercut. ``skipped`` holds one line for each unreadable file
    that the last iteration met.
    """

    def __init__(self, name: str, count: int, read: Callable[[list[str]], Iterator[Sample]]) -> None:
        self.name, self.count, self.read = name, count, read
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sample]:
        self.skipped.clear()
        return self.read(self.skipped)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in memory, in name order; ``ids`` and ``files`` as in ``Sample``, ``skipped`` as in ``SampleStream``."""

    name: str
    inputs: dict[str, Array]
    """One array for each input, by its name, the samples along the first axis: images are (N, C, H, W) in [0, 1]."""
    ids: tuple[str, ...]
    files: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    @classmethod
    def of_images(cls, name: str, images: Array) -> Samples:
        """Images (N, C, H, W) that are in memory already."""
        ids = tuple(sha256(image.tobytes()) for image in images)
        return cls(name, {UNNAMED: images}, ids, tuple(f"{name}[{place}]" for place in range(len(images))))

    @property
    def arrays(self) -> Array:
        """What the one input is fed: (N, C, H, W) where it is an image.

        Raises:
            RequestError: there are several inputs.
        """
        if len(self.inputs) != 1:
            raise RequestError(f"one array was asked for, {self.name} has {', '.join(self.inputs)}; name one of its inputs")
        return next(iter(self.inputs.values()))

    def feeds(self, model: Model) -> dict[str, Array]:
        """All of it, looked at: one array for each input in the model's type, by the names and in the order of its inputs.

        Raises:
            RequestError: an input is missing, unknown or of another shape, type or range than the model's; names it.
        """
        check = InputCheck(model)
        for sample in self:
            check(sample.inputs)
        types = {tensor.name: tensor.dtype for tensor in model.spec.inputs}
        return {name: array.astype(types[name], copy=False) for name, array in named(model.spec, self.inputs).items()}

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Sample]:
        for place, (sample_id, file) in enumerate(zip(self.ids, self.files, strict=True)):
            yield Sample({name: array[place] for name, array in self.inputs.items()}, sample_id, file, place)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Samples with one label each. ``labels``: class indices, (N, H, W) for segmentation and (N,) for classification; -1: not
    scored."""

    samples: Samples
    labels: Array

    def feeds(self, model: Model) -> dict[str, Array]:
        """``Samples.feeds``."""
        return self.samples.feeds(model)


def stream_samples(source: Path, height: int, width: int, limit: int | None = None, channels: int = 3) -> SampleStream:
    """Samples (channels, height, width) from a folder of images, one image, or an .npz file.

    With more than ``limit`` images, an evenly spaced subset in name order is read; unreadable files are listed in
    ``skipped`` and others take their place. Images serve models with 1 or 3 input channels; an .npz holds one array (or
    one called ``images``): uint8 (N, H, W, 3), resized like files, or float in [0, 1] of exactly the model's size,
    (N, channels, height, width) or (N, height, width, 3). What can be known without reading it all is refused at once, the
    rest while iterating: RequestError (ImageError for a single bad image).
    """
    check_limit(limit)
    if source.suffix.lower() == ".npz" and not os.path.isdir(source):
        return stream_npz(source, height, width, limit, channels)
    check_request(height, width, channels)
    if os.path.isdir(source):
        return stream_folder(source, limit, lambda pixels: to_input(pixels, height, width, channels))
    if not os.path.lexists(source):
        raise RequestError(f"cannot find {source}: expected a folder of images, one image, or an .npz file")

    def read(_: list[str]) -> Iterator[Sample]:
        data = read_bytes(source, str(source))
        yield Sample({UNNAMED: to_input(decode(data, str(source)), height, width, channels)}, sha256(data), source.name)

    return SampleStream(source.name, 1, read)


def load_samples(source: Path | str, height: int, width: int, limit: int | None = None, channels: int = 3) -> Samples:
    """All of ``stream_samples`` in memory, (N, channels, height, width), in name order.

    Args:
        source: a folder of images, one image, or an .npz file.
        height, width: of the model's images.
        limit: at most so many, evenly spaced by name.
        channels: 1 or 3.

    Raises:
        RequestError: there is no sample, or it is none for these images; says which file.
    """
    stream = stream_samples(Path(source), height, width, limit, channels)
    return collected(stream.name, stream, stream.skipped)


def load_labelled(
    folder: Path | str,
    height: int,
    width: int,
    limit: int | None = None,
    channels: int = 3,
    task: str = "segmentation",
    classes: Sequence[ClassSpec] = (),
    ignore_index: int | None = None,
) -> LabelledImages:
    """Images with their labels, as the task lays them out: for segmentation ``images/`` and masks of the same names in
    ``labels/`` or ``masks/``; for classification one sub-folder per class.

    Args:
        folder: the labelled folder.
        height, width: of the model's images, to which images and masks are resized.
        limit: at most so many images, evenly spaced by name.
        channels: 1 or 3.
        task: what the labels are for.
        classes: the model's, for a task whose folder names classes; without them classes are numbered in name order.
        ignore_index: the value in masks of pixels that are not scored; they have the label -1.

    Raises:
        RequestError: a label is missing, unreadable, of another size than its image or no class; names its file.
    """
    check_limit(limit)
    check_request(height, width, channels)
    labels, skipped = TASKS.get(task, "task").open_labels(Path(folder), classes, ignore_index), list[str]()
    found, truth, files = [], [], []
    for file in sorted(read_folder(labels.images, limit, skipped), key=lambda file: file.place):
        truth.append(labels.read(file.path, (file.pixels.shape[0], file.pixels.shape[1]), (height, width)))
        found.append(image_sample(file, to_input(file.pixels, height, width, channels)))
        files.append(file.path)
    return LabelledImages(collected(base_name(Path(folder)), found, skipped), labels.finish(np.stack(truth), files))


def default_calibration() -> Path:
    """The folder of the 32 shipped calibration images (CC0; see images/README.md)."""
    return Path(__file__).parent / "data" / "calibration"


def default_evaluation() -> Path:
    """The folder of the 8 shipped images with masks, for ``load_labelled``; none of them is a calibration image."""
    return Path(__file__).parent / "data" / "evaluation"


def collected(name: str, samples: Iterable[Sample], skipped: Sequence[str]) -> Samples:
    """Samples in memory, in name order."""
    ordered = sorted(samples, key=lambda sample: sample.place)
    inputs = {key: np.stack([sample.inputs[key] for sample in ordered]) for key in ordered[0].inputs}
    return Samples(name, inputs, tuple(s.id for s in ordered), tuple(s.file for s in ordered), tuple(sorted(skipped)))


def check_limit(limit: int | None) -> None:
    """Refuse a limit below 1 with a RequestError."""
    if limit is not None and limit < 1:
        raise RequestError(f"cannot take {limit} images: the limit starts at 1")


# --- folders --------------------------------------------------------------


def image_sample(file: ReadFile, array: Floats) -> Sample:
    """The sample of an image file, for whatever input takes images."""
    return Sample({UNNAMED: array}, file.digest, file.path.name, file.place)


def stream_folder(folder: Path, limit: int | None, prepare: Callable[[Pixels], Floats]) -> SampleStream:
    """Samples of a folder's images, each prepared when it is asked for."""

    def read(skipped: list[str]) -> Iterator[Sample]:
        for file in read_folder(folder, limit, skipped):
            yield image_sample(file, prepare(file.pixels))

    count = len(some_images(folder))
    return SampleStream(base_name(folder), count if limit is None else min(limit, count), read)


# --- archives -------------------------------------------------------------


def stream_npz(path: Path, height: int, width: int, limit: int | None, channels: int) -> SampleStream:
    """The images of an archive that holds nothing else that is read."""
    with opened_array(path) as array:
        prepare, count = image_rows(path, array, (height, width), channels), array.shape[0]
    picked = evenly(count, count if limit is None else min(limit, count))

    def read(_: list[str]) -> Iterator[Sample]:
        with opened_array(path) as array:
            for place, row in zip(picked, array.rows(picked), strict=True):
                values = prepare(row)
                check_unit(path, values)
                yield Sample({UNNAMED: values}, sha256(row.tobytes()), f"{path.name}[{place}]", place)

    return SampleStream(path.name, len(picked), read)


# --- by the names of a model's inputs ---------------------------------------


def stream_for(model: Model, source: Path, limit: int | None = None) -> SampleStream:
    """Samples for a model, by the names of its inputs.

    Args:
        model: lowered or not. One for tiles takes whole images, of ``model.image_size``.
        source: for a model of one image, what ``stream_samples`` reads. For any other an .npz with one array for each input,
            by its name, the samples along the first axis: float (in [0, 1] for an image, or uint8 (N, H, W, 3) of any size),
            integers for an integer input. A model of one input takes an array of any name.
        limit: at most so many, evenly spaced.

    Raises:
        RequestError: the source does not fit the model; names the input. What only reading shows is raised while iterating.
    """
    first = model.spec.inputs[0]
    if takes_one_image(model.spec):
        height, width = model.image_size
        stream = stream_samples(source, height, width, limit, first.shape[1])
        return SampleStream(stream.name, stream.count, lambda skipped: for_model(model, stream.read(skipped)))
    check_limit(limit)
    if source.suffix.lower() != ".npz" or os.path.isdir(source):
        arrays = ", ".join(tensor.name for tensor in model.spec.inputs)
        raise RequestError(f"{source} holds no samples for {model.spec.name}: give an .npz file with the arrays {arrays}")
    return stream_named(model, source, limit)


def samples_for(model: Model, source: Path, limit: int | None = None) -> Samples:
    """All of ``stream_for`` in memory, in name order."""
    stream = stream_for(model, source, limit)
    return collected(stream.name, stream, stream.skipped)


def for_model(model: Model, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The same samples, by the names of the model's inputs."""
    for sample in samples:
        yield replace(sample, inputs=named(model.spec, sample.inputs))


def stream_named(model: Model, path: Path, limit: int | None) -> SampleStream:
    """Samples of an .npz with one array for each input of a model, N first."""

    def choose(names: Sequence[str]) -> Mapping[str, str]:
        return arrays_of(model.spec, path, names)

    with opened_archive(path, choose) as arrays:
        count = check_counts(path, arrays)
        prepare = {tensor.name: rows_of(tensor, path, arrays[tensor.name]) for tensor in model.spec.inputs}
    picked = evenly(count, count if limit is None else min(limit, count))

    def read(_: list[str]) -> Iterator[Sample]:
        check = InputCheck(model)
        with opened_archive(path, choose) as arrays:
            rows = {name: array.rows(picked) for name, array in arrays.items()}
            for place in picked:
                stored = {name: next(each) for name, each in rows.items()}
                try:
                    inputs = check({name: prepare[name](row) for name, row in stored.items()})
                except RequestError as error:
                    raise RequestError(f"{path}, sample {place}: {error}") from error
                yield Sample(inputs, digest(stored), f"{path.name}[{place}]", place)

    return SampleStream(path.name, len(picked), read)
