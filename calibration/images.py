"""Image files to samples: the one preprocessing that calibration, evaluation and the sample apps share.

    file --read_image--> (H, W, 3) uint8 --to_input--> (C, height, width) float32 in [0, 1]

numpy and Pillow only. Embedded colour profiles and gamma are not applied: frames of a device's camera bring none.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from onenet.errors import RequestError

PREPROCESSING = "rgb01/resize-bilinear/1"
"""What turned a file into an input; manifests store it.

EXIF rotation applied, RGB in [0, 1], stretched to (H, W) with Pillow's bilinear (antialiased) filter when the size
differs, no letterbox, no crop. The filter works on 8-bit values. One-channel models get the ITU-R 601 luma of the RGB
pixels, taken before the resize.
"""

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""File names that count as images in a folder, compared without case."""

# Decoders are named one by one because Pillow's full list has one (EPS) that starts another program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
# Pillow spreads 2-bit and 4-bit gray PNGs over 0..255; optimisers make such files of masks with few classes.
_GRAY_STEP = {"L;2": 85, "L;4": 17}

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
T = TypeVar("T")
Prepare = Callable[[Pixels, Path], T]


class ImageError(RequestError):
    """A file is not an image that can be read: missing, truncated, too large, or something else altogether."""


# --- one image ------------------------------------------------------------


def read_image(path: Path) -> Pixels:
    """The upright pixels of an image file, (H, W, 3) RGB; any Pillow mode and any size, the first frame of several.

    Images of more than twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million pixels unless changed) are refused before they
    are decoded; Pillow's warning below that limit is silenced. Raises ImageError.
    """
    return _decode(_read_bytes(path, str(path)), str(path))


def pixels_of(image: Image.Image) -> Pixels:
    """(H, W, 3) RGB of an opened image, upright, from any mode.

    Grayscale is replicated. Transparency is composited over black: what is left of Android's and iOS's premultiplied
    bitmaps when alpha is dropped. 16-bit gray is value / 65535 (12-bit data in 16-bit files stays dark; values of
    32-bit integers outside 0..65535 are clipped). Floats are taken as [0, 1] if none is above 1, else as [0, 255] if
    none is above 255, else as [0, 65535]; negative values and NaN are 0.
    """
    image.load()  # some formats know their orientation, and TIFF applies it, only after decoding
    image = _upright(image)
    if image.mode.startswith("I"):
        return _replicate(np.clip(np.asarray(image), 0, 65535), 65535)
    if image.mode == "F":
        return _replicate(_unit_floats(np.asarray(image)))
    if image.mode in ("La", "RGBa"):  # premultiplied: the colours already are over black
        return _premultiplied(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def to_input(pixels: Pixels, height: int, width: int, channels: int = 3) -> Floats:
    """(H, W, 3) uint8 to (channels, height, width) float32 in [0, 1], as PREPROCESSING says.

    Raises RequestError for other pixels, a size below 1, or channels other than 1 and 3.
    """
    _check_request(height, width, channels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise RequestError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3)")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if channels == 1:
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    planes = np.asarray(image, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(planes / np.float32(255))


def _check_request(height: int, width: int, channels: int) -> None:
    if height < 1 or width < 1:
        raise RequestError(f"cannot resize images to {height} x {width}: height and width start at 1")
    if channels not in (1, 3):
        raise RequestError(
            f"images give 1 or 3 channels, the model takes {channels}: "
            f"bring its inputs as an .npz file with one float array (N, {channels}, H, W) in [0, 1]"
        )


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would block for ever
            raise ImageError(f"cannot read the image {name}: not a regular file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read the image {name}: {_reason(error)}") from error


def _decode(data: bytes, name: str) -> Pixels:
    if not data:
        raise ImageError(f"cannot read the image {name}: the file is empty")
    try:
        # Pillow warns of odd metadata and of large images; neither is a reason to stop.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return pixels_of(image)
    except Exception as error:  # besides OSError, decoders meet damage with SyntaxError, struct.error, IndexError, ...
        raise ImageError(f"cannot read the image {name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line, and the same for the same file: Pillow's own text can hold a memory address."""
    if isinstance(error, UnidentifiedImageError):
        return f"not recognised as an image; supported are {', '.join(FORMATS)}"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and fails where that block is damaged.
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _replicate(gray: NDArray[Any], full: float = 1) -> Pixels:
    """(H, W) in [0, full] to (H, W, 3) uint8, in bands: a large image in float64 would take eight times its memory."""
    result = np.empty((*gray.shape, 3), np.uint8)
    for rows in (slice(top, top + 256) for top in range(0, len(gray), 256)):
        result[rows] = np.rint(gray[rows].astype(np.float64) / full * 255)[..., None]
    return result


def _unit_floats(values: NDArray[Any]) -> NDArray[Any]:
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=np.inf, neginf=0.0)
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 1.0
    full = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    unit: NDArray[np.float64] = np.clip(values, 0, full) / full
    return unit


def _premultiplied(image: Image.Image) -> Pixels:
    colours: Pixels = np.asarray(image, dtype=np.uint8)[..., :-1]
    return np.repeat(colours, 3 // colours.shape[2], axis=2)


# --- folders and archives -------------------------------------------------


@dataclass(frozen=True, eq=False)
class Samples:
    """Model inputs and where they came from.

    ``ids`` are SHA-256: of a file's bytes, or of one sample's bytes as an .npz stores it. ``files`` are base names
    (``NAME.npz[3]`` for the fourth sample of an archive). ``skipped`` holds one line for each unreadable file.
    """

    name: str
    arrays: Floats
    """(N, C, H, W) in [0, 1]."""
    ids: tuple[str, ...]
    files: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrays)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Samples with one mask each. ``labels``: (N, H, W) class indices."""

    samples: Samples
    labels: Pixels


def find_images(folder: Path) -> list[Path]:
    """Image files under ``folder`` and its sub-folders (links to folders are not followed), sorted by relative name.

    Files count by EXTENSIONS; dot names are left out. Raises RequestError when a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise RequestError(f"cannot list the image folder {error.filename}: {_reason(error)}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def load_samples(source: Path, height: int, width: int, limit: int | None = None, channels: int = 3) -> Samples:
    """Samples (N, channels, height, width) from a folder of images, one image, or an .npz file.

    With more than ``limit`` images, an evenly spaced subset in name order is read; unreadable files are listed in
    ``skipped`` and others take their place. Images serve models with 1 or 3 input channels; an .npz holds one array (or
    one called ``images``): uint8 (N, H, W, 3), resized like files, or float in [0, 1] of exactly the model's size,
    (N, channels, height, width) or (N, height, width, 3). Raises RequestError (ImageError for a single bad image).
    """
    _check_limit(limit)
    if source.suffix.lower() == ".npz" and not os.path.isdir(source):
        return _load_npz(source, height, width, limit, channels)
    _check_request(height, width, channels)
    if os.path.isdir(source):
        items, skipped = _read_folder(source, limit, lambda pixels, _: to_input(pixels, height, width, channels))
        return _samples(_base_name(source), items, skipped, [item.value for item in items])
    if not os.path.lexists(source):
        raise RequestError(f"cannot find {source}: expected a folder of images, one image, or an .npz file")
    data = _read_bytes(source, str(source))
    array = to_input(_decode(data, str(source)), height, width, channels)
    return Samples(source.name, array[None], (hashlib.sha256(data).hexdigest(),), (source.name,))


def load_labelled(folder: Path, height: int, width: int, limit: int | None = None, channels: int = 3) -> LabelledImages:
    """Images of ``folder/images`` with their masks ``folder/labels/STEM.png``, one class index per pixel.

    Masks are resized by nearest neighbour. Raises RequestError, which names the mask, when one is missing, unreadable,
    not indexed or gray, or of another size than its image.
    """
    _check_limit(limit)
    _check_request(height, width, channels)

    def prepare(pixels: Pixels, path: Path) -> tuple[Floats, Pixels]:
        mask = folder / "labels" / path.relative_to(folder / "images").with_suffix(".png")
        return to_input(pixels, height, width, channels), _read_mask(mask, pixels.shape[:2], height, width)

    items, skipped = _read_folder(folder / "images", limit, prepare)
    samples = _samples(_base_name(folder), items, skipped, [item.value[0] for item in items])
    return LabelledImages(samples, np.stack([item.value[1] for item in items]))


def default_calibration() -> Path:
    """The folder of the 32 shipped calibration images (CC0; see images/README.md)."""
    return Path(__file__).parent / "data" / "calibration"


def default_evaluation() -> Path:
    """The folder of the 8 shipped images with masks, for ``load_labelled``; none of them is a calibration image."""
    return Path(__file__).parent / "data" / "evaluation"


@dataclass(frozen=True, eq=False)
class _Item(Generic[T]):
    """One file that was read, and what became of it."""

    path: Path
    digest: str
    value: T


def _read_folder(folder: Path, limit: int | None, prepare: Prepare[T]) -> tuple[list[_Item[T]], list[str]]:
    """What ``prepare`` makes of up to ``limit`` readable images in name order, and a line for each unreadable one."""
    paths = find_images(folder)
    if not paths:
        raise RequestError(f"{folder} holds no image; names that count end in {', '.join(EXTENSIONS)}")
    wanted = len(paths) if limit is None else min(limit, len(paths))
    first = _evenly(len(paths), wanted)
    found: dict[int, _Item[T]] = {}
    skipped: dict[int, str] = {}
    for index in (*first, *sorted(set(range(len(paths))) - set(first))):
        if len(found) == wanted:
            break
        name = paths[index].relative_to(folder).as_posix()
        try:
            data = _read_bytes(paths[index], name)
            pixels = _decode(data, name)
        except ImageError as error:
            skipped[index] = str(error)
            continue
        found[index] = _Item(paths[index], hashlib.sha256(data).hexdigest(), prepare(pixels, paths[index]))
    lines = [skipped[index] for index in sorted(skipped)]
    if not found:
        raise RequestError(f"{folder} holds {len(paths)} image file(s), none readable: {lines[0]}")
    return [found[index] for index in sorted(found)], lines


def _evenly(count: int, wanted: int) -> list[int]:
    """``wanted`` different indices below ``count``: the middles of equal parts."""
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def _samples(name: str, items: Sequence[_Item[T]], skipped: list[str], arrays: list[Floats]) -> Samples:
    ids = tuple(item.digest for item in items)
    return Samples(name, np.stack(arrays), ids, tuple(item.path.name for item in items), tuple(skipped))


def _base_name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise RequestError(f"cannot take {limit} images: the limit starts at 1")


def _read_mask(path: Path, shape: tuple[int, ...], height: int, width: int) -> Pixels:
    """(height, width) class indices from a PNG of the image's own ``shape`` (H, W)."""
    if not path.is_file():
        raise RequestError(f"the mask {path} is missing: every image in images/ needs labels/STEM.png")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=["PNG"]) as image:
                bits = str(image.tile[0][3])
                image.load()
    except Exception as error:  # see _decode
        raise RequestError(f"cannot read the mask {path}: {_reason(error)}") from error
    if image.mode not in ("1", "L", "P"):
        raise RequestError(f"the mask {path} has mode {image.mode}; expected L or P, one class index per pixel")
    if image.size != (shape[1], shape[0]):
        raise RequestError(f"the mask {path} is {image.height} x {image.width}, its image {shape[0]} x {shape[1]}")
    labels = np.asarray(image).astype(np.uint8) // _GRAY_STEP.get(bits, 1)
    return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def _load_npz(path: Path, height: int, width: int, limit: int | None, channels: int) -> Samples:
    stored = _read_npz(path)
    if stored.ndim != 4 or 0 in stored.shape:
        raise RequestError(f"{path} holds {stored.dtype} {stored.shape}; expected {_forms(height, width, channels)}")
    picked = _evenly(len(stored), len(stored) if limit is None else min(limit, len(stored)))
    rows = [np.ascontiguousarray(stored[index]) for index in picked]
    arrays = _as_inputs(np.stack(rows), path, height, width, channels)
    ids = tuple(hashlib.sha256(row.tobytes()).hexdigest() for row in rows)
    return Samples(path.name, arrays, ids, tuple(f"{path.name}[{index}]" for index in picked))


def _read_npz(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise ValueError("not a zip archive")
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            names = list(archive.files)
            name = "images" if "images" in names else names[0] if len(names) == 1 else None
            array = archive[name] if name else None
    except Exception as error:  # damage shows as BadZipFile, EOFError, zlib.error, ...; pickles as ValueError
        raise RequestError(f"cannot read {path} as an .npz archive of plain arrays: {_reason(error)}") from error
    if not isinstance(array, np.ndarray):
        held = ", ".join(names[:8]) or "nothing"
        raise RequestError(f"{path} holds {held}; expected one array, or one called 'images'")
    return array


def _as_inputs(stored: NDArray[Any], path: Path, height: int, width: int, channels: int) -> Floats:
    if stored.dtype == np.uint8 and stored.shape[3] == 3 and channels in (1, 3):
        return np.stack([to_input(pixels, height, width, channels) for pixels in stored])
    if stored.dtype.kind == "f" and stored.shape[1:] == (channels, height, width):
        arrays = stored
    elif stored.dtype.kind == "f" and channels == 3 and stored.shape[1:] == (height, width, 3):
        arrays = stored.transpose(0, 3, 1, 2)
    else:
        raise RequestError(f"{path} holds {stored.dtype} {stored.shape}; expected {_forms(height, width, channels)}")
    low, high = float(arrays.min()), float(arrays.max())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise RequestError(f"{path} holds values from {low:g} to {high:g}; expected floats in [0, 1], or uint8")
    return np.ascontiguousarray(arrays, dtype=np.float32)


def _forms(height: int, width: int, channels: int) -> str:
    forms = ["uint8 (N, H, W, 3)"] if channels in (1, 3) else []
    forms.append(f"float in [0, 1] (N, {channels}, {height}, {width})")
    return " or ".join([*forms, f"(N, {height}, {width}, 3)"] if channels == 3 else forms)
