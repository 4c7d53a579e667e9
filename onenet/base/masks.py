"""Masks as people have them: class numbers, 0 and 255, palettes and colours; found beside their images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onenet.base.arrays import Array
from onenet.base.images import Pixels, check_size, reason
from onenet.errors import RequestError

FOLDERS = ("labels", "masks")
"""Where masks lie, beside ``images``."""
SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff", ".PNG")
"""What keeps every value; JPEG does not."""
FORMATS = ("PNG", "BMP", "GIF", "TIFF")
ENDINGS = ("", "_mask", "_label", "_gt", "-mask", ".mask")
"""What a mask's name may have behind its image's."""
IGNORED = -1
"""The label of a pixel that is not scored."""
WHITE = 255
"""The class in masks of black and white."""

# Pillow spreads 2-bit and 4-bit gray PNGs over 0..255; optimisers make such files of masks with few classes.
_GRAY_STEP = {"L;2": 85, "L;4": 17}
Colour = tuple[int, int, int]


def mask_folder(folder: Path) -> Path | None:
    """``labels`` or ``masks`` of a labelled folder; None where it has neither.

    Raises:
        RequestError: it has both.
    """
    found = [folder / name for name in FOLDERS if (folder / name).is_dir()]
    if len(found) > 1:
        raise RequestError(f"{folder} has both {' and '.join(FOLDERS)}; give a folder with one of them")
    return found[0] if found else None


def mask_of(folder: Path, image: Path) -> Path:
    """The mask of an image, named after it.

    Args:
        folder: of the masks.
        image: its path below the folder of images.

    Raises:
        RequestError: there is none; says how it is named.
    """
    for ending in ENDINGS:
        for suffix in SUFFIXES:
            path = folder / image.parent / (image.stem + ending + suffix)
            if path.is_file():
                return path
    missing = folder / image.with_suffix(".png")
    raise RequestError(f"the mask {missing} is missing: every image in images/ needs {folder.name}/STEM.png")


def read_mask(
    path: Path, shape: tuple[int, ...], height: int, width: int, colours: Mapping[Colour, int] | None = None
) -> Pixels:
    """(height, width) values of a mask, resized by nearest neighbour: class indices, or whatever it holds.

    Args:
        path: the mask.
        shape: (H, W, ...) of its image, which is its own too.
        height, width: of the model's images.
        colours: the class of each colour, where classes have colours of their own.

    Raises:
        RequestError: it is missing, no mask, of another size, or of colours that no class has.
    """
    if not path.is_file():
        raise RequestError(f"the mask {path} is missing: every image in images/ needs {path.parent.name}/STEM.png")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                check_size(image)
                bits = str(image.tile[0][3]) if image.tile else ""
                image.load()
    except Exception as error:  # see images.decode
        raise RequestError(f"cannot read the mask {path}: {reason(error)}") from error
    if image.size != (shape[1], shape[0]):
        raise RequestError(f"the mask {path} is {image.height} x {image.width}, its image {shape[0]} x {shape[1]}")
    labels = values_of(image, path, colours or {}, _GRAY_STEP.get(bits, 1) if image.format == "PNG" else 1)
    return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def values_of(image: Image.Image, path: Path, colours: Mapping[Colour, int], step: int) -> Pixels:
    """(H, W) of an opened mask of any mode."""
    if image.mode in ("1", "L"):
        return np.asarray(image).astype(np.uint8) // np.uint8(step)
    if image.mode == "P":
        return indices_of(image, colours)
    values = np.asarray(image)
    if image.mode.startswith("I"):
        if values.min() < 0 or values.max() > WHITE:
            raise RequestError(f"the mask {path} holds {values.max()}; classes and ignored values are 0 to {WHITE}")
        return values.astype(np.uint8)
    if image.mode not in ("RGB", "RGBA", "LA"):
        raise RequestError(f"the mask {path} has mode {image.mode}; expected L or P, one class index per pixel, or colours")
    if image.mode == "LA" or ((values[..., 0] == values[..., 1]).all() and (values[..., 1] == values[..., 2]).all()):
        return np.ascontiguousarray(values[..., 0])  # grey all the same
    if not colours:
        raise RequestError(f"the mask {path} is of colours; --palette FILE says which class each colour is")
    return classes_of(values[..., :3], path, colours)


def indices_of(image: Image.Image, colours: Mapping[Colour, int]) -> Pixels:
    """Values of a mask with a palette: its numbers, or where all of its colours are classes', their classes."""
    indices: Pixels = np.asarray(image).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    own = np.frombuffer(bytes(image.getpalette("RGB") or []), np.uint8).reshape(-1, 3)
    palette[: len(own)] = own
    used = [(int(k), colours.get(as_colour(palette[k]))) for k in np.unique(indices)]
    if not colours or any(label is None for _, label in used):
        return indices
    table = np.zeros(256, np.uint8)
    for index, label in used:
        table[index] = label or 0
    return table[indices]


def classes_of(pixels: Pixels, path: Path, colours: Mapping[Colour, int]) -> Pixels:
    """(H, W) classes of colours (H, W, 3).

    Raises:
        RequestError: a colour is no class's.
    """
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, inverse = np.unique(codes, return_inverse=True)
    table = np.zeros(len(found), np.uint8)
    for place, code in enumerate(found.tolist()):
        colour = (code >> 16, code >> 8 & 255, code & 255)
        if colour not in colours:
            raise RequestError(f"the mask {path} has the colour {hexadecimal(colour)}, which is no class's in the palette")
        table[place] = colours[colour]
    return table[inverse.reshape(pixels.shape[:2])]


def as_colour(values: NDArray[np.uint8]) -> Colour:
    """Three numbers as a tuple."""
    red, green, blue = values.tolist()
    return red, green, blue


def hexadecimal(colour: Colour) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def read_palette(path: Path) -> list[str]:
    """The colours of a PNG with a palette, in its order.

    Raises:
        RequestError: it cannot be read, or has none.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            own = image.getpalette("RGB") if image.mode == "P" else None
    except Exception as error:  # see images.decode
        raise RequestError(f"cannot read the palette {path}: {reason(error)}") from error
    if not own:
        raise RequestError(f"{path} has no palette; give a PNG with one, or a file with #rrggbb on each line")
    return [hexadecimal((own[k], own[k + 1], own[k + 2])) for k in range(0, len(own) - 2, 3)]


def decoded(values: Array, files: Sequence[Path], classes: int, ignore: int | None) -> Array:
    """Masks of one folder as labels: class indices, ``IGNORED`` where a pixel is not scored.

    Of two classes, 0 and 255 are the same as 0 and 1.

    Args:
        values: (N, H, W) as ``read_mask`` gives them.
        files: their images, for messages.
        classes: how many the model has; 0: whatever is found.
        ignore: the value of pixels that are not scored.

    Raises:
        RequestError: a value is no class, or nothing is left to score.
    """
    skipped = values == ignore if ignore is not None else np.zeros_like(values, bool)
    found = [value for value in np.unique(values).tolist() if value != ignore]
    if not found or (classes == 2 and ignore == WHITE and found == [0] and skipped.any()):
        rest = "" if not found else " but 0, and none of class 1: where 255 is the class, leave --ignore-index out"
        raise RequestError(f"the masks hold nothing that is not ignored (value {ignore}){rest}")
    if classes and found[-1] >= classes:
        if classes != 2 or not set(found) <= {0, WHITE}:
            refuse_value(values, files, classes, next(value for value in found if value >= classes), found)
        values = np.where(values == WHITE, 1, values).astype(np.uint8)
    if not skipped.any():
        return values
    return np.where(skipped, np.int16(IGNORED), values.astype(np.int16))


def refuse_value(values: Array, files: Sequence[Path], classes: int, value: int, found: Sequence[int]) -> None:
    """
    Raises:
        RequestError: names the mask that holds a value which is no class.
    """
    place = next(k for k, mask in enumerate(values) if (mask == value).any())
    also = ", or 0 and 255" if classes == 2 else ""
    tried = f"; --ignore-index {found[-1]} leaves such pixels out of the score" if found[-1] != value or value == WHITE else ""
    raise RequestError(
        f"the mask of {files[place].name} holds {value}; the model has {classes} classes, whose values are 0 to "
        f"{classes - 1}{also}{tried}"
    )
