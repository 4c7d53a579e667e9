"""One image file to one model input: the one preprocessing that calibration, evaluation and the sample apps share.

    file --read_image--> (H, W, 3) uint8 --to_input--> (C, height, width) float32 in [0, 1]

numpy and Pillow only. Embedded colour profiles and gamma are not applied: frames of a device's camera bring none.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from onenet.base.arrays import Array
from onenet.base.text import one_line
from onenet.errors import RequestError

PREPROCESSING = "rgb01/resize-bilinear/1"
"""What turned a file into an input; manifests store it.

EXIF rotation applied, RGB in [0, 1], stretched to (H, W) with Pillow's bilinear (antialiased) filter when the size
differs, no letterbox, no crop. The filter works on 8-bit values. One-channel models get the ITU-R 601 luma of the RGB
pixels, taken before the resize.
"""

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
MOST_PIXELS = {"RGB": 1 << 27, "L": 1 << 27}
"""Of one image, by Pillow's mode. Decoding takes about 12 bytes a pixel, and a file of 10 kB can claim any number of them."""
MOST_PIXELS_OTHERWISE = 1 << 26
"""Other modes take up to 20 bytes a pixel."""
_ORIENTATION = 0x0112

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class ImageError(RequestError):
    """A file is not an image that can be read: missing, truncated, too large, or something else altogether."""


def read_image(path: Path | str) -> Pixels:
    """The upright pixels of an image file, (H, W, 3) RGB; any Pillow mode and any size, the first frame of several.

    Images of more than 134 million pixels (67 million where there are alpha, a palette, 16 bits or floats) are refused before
    they are decoded; Pillow's warning of large ones is silenced.

    Raises:
        RequestError: an ``ImageError``: the file is missing, damaged, too large, or no image.
    """
    return decode(read_bytes(Path(path), str(path)), str(path))


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
        return _replicate(np.asarray(image), 65535)
    if image.mode == "F":
        return _replicate(np.asarray(image), _full_scale(np.asarray(image)))
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
    check_request(height, width, channels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise RequestError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3)")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if channels == 1:
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    planes = np.asarray(image, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(planes / np.float32(255))


def check_request(height: int, width: int, channels: int) -> None:
    """Refuse a size below 1 and channels other than 1 and 3, with a RequestError."""
    if height < 1 or width < 1:
        raise RequestError(f"cannot resize images to {height} x {width}: height and width start at 1")
    if channels not in (1, 3):
        raise RequestError(
            f"images give 1 or 3 channels, the model takes {channels}: "
            f"bring its inputs as an .npz file with one float array (N, {channels}, H, W) in [0, 1]"
        )


def read_bytes(path: Path, name: str) -> bytes:
    """A regular file's bytes. Raises ImageError, which calls it ``name``."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block for ever
            raise ImageError(f"cannot read the image {name}: not a regular file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read the image {name}: {reason(error)}") from error


def decode(data: bytes, name: str) -> Pixels:
    """The pixels (H, W, 3) uint8 of an image file's bytes. Raises ImageError, which calls it ``name``."""
    if not data:
        raise ImageError(f"cannot read the image {name}: the file is empty")
    try:
        # Pillow warns of odd metadata and of large images; neither is a reason to stop.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_size(image)
                return pixels_of(image)
    except Exception as error:  # besides OSError, decoders meet damage with SyntaxError, struct.error, IndexError, ...
        raise ImageError(f"cannot read the image {name}: {reason(error)}") from error


def check_size(image: Image.Image) -> None:
    """Refuse an opened image of more pixels than are decoded, with a ValueError."""
    most = MOST_PIXELS.get(image.mode, MOST_PIXELS_OTHERWISE)
    if image.width * image.height > most:
        raise ValueError(
            f"{image.width} x {image.height} pixels; at most {most // 10**6} million of mode {image.mode} are read"
        )


def reason(error: Exception) -> str:
    """One line, and the same for the same file: Pillow's own text can hold a memory address."""
    if isinstance(error, UnidentifiedImageError):
        return f"not recognised as an image; supported are {', '.join(FORMATS)}"
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and fails where that block is damaged.
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _replicate(gray: Array, full: float) -> Pixels:
    """(H, W) in [0, full] to (H, W, 3) uint8, in bands: a large image in float64 would take eight times its memory."""
    result = np.empty((*gray.shape, 3), np.uint8)
    for rows in (slice(top, top + 256) for top in range(0, len(gray), 256)):
        values = np.nan_to_num(gray[rows].astype(np.float64), nan=0.0, posinf=np.inf, neginf=0.0)
        result[rows] = np.rint(np.clip(values, 0, full) / full * 255)[..., None]
    return result


def _full_scale(values: Array) -> float:
    """The value of white in an image of floats."""
    top = max(float(row.max(initial=0, where=np.isfinite(row))) for row in values)
    return 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0


def _premultiplied(image: Image.Image) -> Pixels:
    colours: Pixels = np.asarray(image, dtype=np.uint8)[..., :-1]
    return np.repeat(colours, 3 // colours.shape[2], axis=2)


EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""File names that count as images in a folder, compared without case."""


def find_images(folder: Path) -> list[Path]:
    """Image files under ``folder`` and its sub-folders (links to folders are not followed), sorted by relative name.

    Files count by EXTENSIONS; dot names are left out. Raises RequestError when a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise RequestError(f"cannot list the image folder {error.filename}: {reason(error)}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
