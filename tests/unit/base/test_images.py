"""Image files to samples: every mode and orientation, damage, folders, archives, masks, and the shipped images."""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from onenet.base.images import EXTENSIONS, FORMATS, ImageError, find_images, pixels_of, read_image, to_input
from onenet.calibration.folders import evenly
from onenet.calibration.samples import default_calibration, default_evaluation, load_labelled, load_samples
from onenet.errors import RequestError

H, W = 12, 20


def picture(seed: int = 0, height: int = H, width: int = W) -> NDArray[np.uint8]:
    """Smooth colours, so that JPEG and palettes change little: (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * 9 + seed * 31) % 200 + 20, (y * 15 + 40) % 220, (x + y) * 6 % 200 + 10]
    return np.stack(planes, axis=2).astype(np.uint8)


def write(path: Path, seed: int = 0) -> Path:
    Image.fromarray(picture(seed)).save(path)
    return path


def one_line(error: pytest.ExceptionInfo[RequestError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# --- modes -----------------------------------------------------------------------------------------------------------

LUMA = np.asarray(Image.fromarray(picture()).convert("L"))
GRAY = np.repeat(LUMA[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("mode", "name", "expected", "tolerance"),
    [
        ("L", "a.png", GRAY, 0),
        ("LA", "a.png", GRAY, 0),
        ("RGB", "a.png", picture(), 0),
        ("RGB", "a.bmp", picture(), 0),
        ("RGB", "a.ppm", picture(), 0),
        ("L", "a.pgm", GRAY, 0),
        ("RGB", "a.tif", picture(), 0),
        ("RGBA", "a.png", picture(), 0),
        ("RGBX", "a.tif", picture(), 0),
        ("CMYK", "a.tif", picture(), 0),
        ("CMYK", "a.jpg", picture(), 40),
        ("RGB", "a.jpg", picture(), 40),
        ("L", "a.jpg", GRAY, 12),
        ("YCbCr", "a.jpg", picture(), 40),
        ("LAB", "a.tif", picture(), 20),
        ("P", "a.png", picture(), 48),
        ("P", "a.gif", picture(), 48),
        ("RGB", "a.webp", picture(), 80),
    ],
)
def test_a_file_of_any_mode_gives_its_colours(
    tmp_path: Path, mode: str, name: str, expected: NDArray[np.uint8], tolerance: int
) -> None:
    path = tmp_path / name
    Image.fromarray(picture()).convert(mode).save(path, quality=95)
    pixels = read_image(path)
    assert pixels.shape == (H, W, 3)
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= tolerance
    assert difference.mean() <= tolerance / 2
    assert pixels.tobytes() == read_image(path).tobytes()


@pytest.mark.parametrize("mode", ["HSV", "RGBa", "PA", "RGBX", "YCbCr"])
def test_modes_of_images_in_memory(mode: str) -> None:
    image = Image.fromarray(picture())
    steps = {"RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}
    for step in steps.get(mode, [mode]):
        image = image.convert(step)
    assert image.mode == mode
    assert np.abs(pixels_of(image).astype(int) - picture()).max() <= (48 if mode == "PA" else 5)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.pbm"])
def test_black_and_white(tmp_path: Path, name: str) -> None:
    Image.fromarray(LUMA > 100).save(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / name), np.where(GRAY > 100, 255, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_gray_is_divided_by_257(tmp_path: Path, name: str) -> None:
    Image.fromarray(LUMA.astype(np.uint16) * 257).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode.startswith("I")
    assert np.array_equal(read_image(tmp_path / name), GRAY)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_sixteen_bit_byte_orders(mode: str) -> None:
    order = ">" if mode.endswith("B") else "<"
    data = (LUMA.astype(np.uint16) * 257).astype(order + "u2").tobytes()
    assert np.array_equal(pixels_of(Image.frombytes(mode, (W, H), data)), GRAY)


def test_integers_outside_16_bits_are_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-5, 0, 257, 65535, 9_000_000]], np.int32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-1.0, 0.0, 0.2, 1.0], [0, 0, 51, 255]),
        ([0.0, 51.0, 255.0, np.nan], [0, 51, 255, 0]),
        ([0.0, 25700.0, 65535.0, 1e9], [0, 100, 255, 255]),
        ([0.0, 0.2, np.inf, -np.inf], [0, 51, 255, 0]),
        ([np.nan, np.nan], [0, 0]),
    ],
)
def test_floats(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 2].tolist() == expected


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    alpha = np.full((H, W, 1), 255, np.uint8)
    alpha[:, :5], alpha[:, 5:10] = 0, 128
    expected = np.rint(picture() * (alpha / 255)).astype(int)
    rgba = Image.fromarray(np.concatenate([picture(), alpha], axis=2))
    rgba.save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png") - expected).max() <= 1
    assert np.abs(pixels_of(rgba.convert("RGBa")) - expected).max() <= 1
    gray = Image.merge("LA", [Image.fromarray(LUMA), Image.fromarray(alpha[..., 0])])
    expected = np.rint(GRAY * (alpha / 255)).astype(int)
    assert np.abs(pixels_of(gray) - expected).max() <= 1
    assert np.abs(pixels_of(gray.convert("La")) - expected).max() <= 1


@pytest.mark.parametrize(("name", "transparency"), [("a.png", 1), ("a.png", b"\xff\x00\xff"), ("a.gif", 1)])
def test_a_transparent_palette_entry_is_black(tmp_path: Path, name: str, transparency: int | bytes) -> None:
    image = Image.fromarray((np.arange(H * W) % 3).reshape(H, W).astype(np.uint8), "L")
    image.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
    image.save(tmp_path / name, transparency=transparency)
    assert read_image(tmp_path / name)[0, :3].tolist() == [[250, 0, 0], [0, 0, 0], [0, 0, 250]]


def test_a_transparent_colour_of_an_rgb_png_is_black(tmp_path: Path) -> None:
    colours = np.array([[[9, 200, 30], [1, 2, 3]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png", transparency=(9, 200, 30))
    assert read_image(tmp_path / "a.png").tolist() == [[[0, 0, 0], [1, 2, 3]]]


def test_the_first_frame_of_several(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), (200, 0, 0)), Image.new("RGB", (4, 4), (0, 200, 0))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])  # some cameras' JPEG
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    for name in ("a.gif", "a.tif", "a.webp"):
        assert read_image(tmp_path / name)[0, 0].tolist() == [200, 0, 0]
    assert read_image(tmp_path / "a.jpg")[0, 0, 0] > 190


# --- orientation -----------------------------------------------------------------------------------------------------

# What a viewer must do to the stored pixels (EXIF 2.32, tag 0x0112), in numpy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_exif_orientation_is_applied_once(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(picture())
    image.save(tmp_path / f"plain{name[1:]}", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / name, exif=exif, lossless=True)
    assert np.array_equal(read_image(tmp_path / name), UPRIGHT[orientation](read_image(tmp_path / f"plain{name[1:]}")))


def test_orientation_of_16_bit_gray(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(LUMA.astype(np.uint16) * 257).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(GRAY, -1))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage" * 9])
def test_a_damaged_exif_block_does_not_cost_the_image(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture())


# --- sizes and resizing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (7, 5)])
def test_any_size_becomes_the_input_size(tmp_path: Path, height: int, width: int) -> None:
    Image.new("RGB", (width, height), (51, 102, 255)).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    assert pixels.shape == (height, width, 3)
    array = to_input(pixels, 16, 24)
    assert array.shape == (3, 16, 24)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    np.testing.assert_allclose(array.mean(axis=(1, 2)), [0.2, 0.4, 1.0], atol=1e-6)


def test_equal_size_is_pixels_over_255_and_nothing_else() -> None:
    expected = picture().transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(to_input(picture(), H, W), expected)


def test_resizing_is_pillows_bilinear_filter() -> None:
    resized = np.asarray(Image.fromarray(picture()).resize((7, 5), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(to_input(picture(), 5, 7), resized.transpose(2, 0, 1) / 255, atol=1e-7)
    stripes = np.zeros((4, 64, 3), np.uint8)
    stripes[:, ::2] = 200  # without antialiasing, columns of 0 or of 200 would come back
    assert np.abs(to_input(stripes, 4, 8) * 255 - 100).max() < 25


def test_one_channel_is_luma() -> None:
    array = to_input(picture(), H, W, channels=1)
    assert np.array_equal(array, (LUMA / np.float32(255))[None])


def test_to_input_refuses_what_are_no_pixels() -> None:
    for bad in (picture().astype(np.float32), picture()[..., 0], picture()[..., :2], picture()[:0]):
        with pytest.raises(RequestError, match=r"expected uint8 \(H, W, 3\)"):
            to_input(bad, 4, 4)
    with pytest.raises(RequestError, match="start at 1"):
        to_input(picture(), 0, 4)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.gif", "a.webp", "a.ppm"])
@pytest.mark.parametrize("keep", [0, 3, 30, 0.6])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / name
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(path) in one_line(error)
    assert "0x" not in str(error.value)  # no memory address: the line is the same every time


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.gif", "a.webp", "a.bmp"])
def test_damaged_bytes_are_read_or_refused_never_a_crash(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:]))
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(60):
        data = bytearray(buffer.getvalue())
        for position in rng.integers(0, len(data), 4):
            data[position] = int(rng.integers(0, 256))
        (tmp_path / name).write_bytes(data)
        try:
            outcomes.add(read_image(tmp_path / name).ndim)
        except ImageError:
            outcomes.add("refused")
    assert outcomes <= {3, "refused"}


@pytest.mark.parametrize("text", [b"not an image at all\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_a_text_file_called_jpg(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(text)
    with pytest.raises(ImageError, match=r"a\.jpg: not recognised as an image; supported are BMP"):
        read_image(tmp_path / "a.jpg")


def test_missing_files_folders_and_empty_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="the file is empty"):
        read_image(tmp_path / "empty.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "a.png")


def test_large_images_are_read_and_huge_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)  # Pillow warns
    assert np.array_equal(read_image(tmp_path / "a.png"), picture())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)  # Pillow raises
    with pytest.raises(ImageError, match="exceeds limit"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(("colour_type", "mode", "million"), [(0, "L", 134), (2, "RGB", 134), (3, "P", 67), (6, "RGBA", 67)])
def test_a_claim_of_many_pixels_is_refused_unread(tmp_path: Path, colour_type: int, mode: str, million: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12000, 11500, 8, colour_type, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    with pytest.raises(ImageError, match=f"12000 x 11500 pixels; at most {million} million of mode {mode} are read"):
        read_image(path)


def test_a_text_chunk_bomb_is_refused(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    Image.fromarray(picture()).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ImageError, match=r"a\.png: .*[Tt]oo [Ll]arge"):
        read_image(tmp_path / "a.png")


# --- folders ---------------------------------------------------------------------------------------------------------


def test_find_images_sorts_and_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "folder.png").mkdir()
    for name in ["b.JPG", "a.tiff", "sub/c.WebP", ".d.png", ".hidden/e.png", "notes.txt", "f.pgm", "folder.png/g.gif"]:
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert names == ["a.tiff", "b.JPG", "f.pgm", "folder.png/g.gif", "sub/c.WebP"]


def test_every_listed_extension_can_be_opened() -> None:
    formats = {Image.registered_extensions()[extension] for extension in EXTENSIONS}
    assert formats <= set(FORMATS)


def test_samples_of_a_folder(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.png", seed) for seed, name in enumerate("cab")]
    samples = load_samples(tmp_path, 8, 8)
    assert samples.arrays.shape == (3, 3, 8, 8)
    assert samples.arrays.dtype == np.float32
    assert (samples.name, samples.files, samples.skipped) == (tmp_path.name, ("a.png", "b.png", "c.png"), ())
    assert samples.ids == tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths))
    assert np.array_equal(samples.arrays[2], to_input(picture(0), 8, 8))
    assert len(samples) == 3
    again = load_samples(tmp_path, 8, 8)
    assert samples.arrays.tobytes() == again.arrays.tobytes()
    assert load_samples(tmp_path, 8, 8, channels=1).arrays.shape == (3, 1, 8, 8)


def test_the_name_of_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    samples = load_samples(Path(), 4, 4)
    assert (samples.name, samples.files) == (tmp_path.name, ("a.png",))


def test_a_limit_takes_an_even_subset(tmp_path: Path) -> None:
    for k in range(10):
        write(tmp_path / f"{k}.png", k)
    assert load_samples(tmp_path, 4, 4, limit=5).files == ("1.png", "3.png", "5.png", "7.png", "9.png")
    assert load_samples(tmp_path, 4, 4, limit=3).files == ("1.png", "5.png", "8.png")
    assert load_samples(tmp_path, 4, 4, limit=1).files == ("5.png",)
    assert len(load_samples(tmp_path, 4, 4, limit=10)) == len(load_samples(tmp_path, 4, 4, limit=99)) == 10
    with pytest.raises(RequestError, match="the limit starts at 1"):
        load_samples(tmp_path, 4, 4, limit=0)


def test_even_subsets_hold_different_indices() -> None:
    for count in range(1, 60):
        for wanted in range(1, count + 1):
            indices = evenly(count, wanted)
            assert len(set(indices)) == wanted
            assert indices == sorted(indices)
            assert set(indices) <= set(range(count))


def test_unreadable_files_are_skipped_listed_and_replaced(tmp_path: Path) -> None:
    for k in range(4):
        write(tmp_path / f"{k}.jpg", k)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "5.jpg").write_text("text")
    (tmp_path / "3.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:400])
    samples = load_samples(tmp_path, 4, 4)
    assert samples.files == ("0.jpg", "1.jpg", "2.jpg")
    assert [line.split(": ")[0] for line in samples.skipped] == [
        "cannot read the image 3.jpg",
        "cannot read the image sub/5.jpg",
    ]
    limited = load_samples(tmp_path, 4, 4, limit=2)  # 1 and 3 are the even choice, 0 takes the place of 3
    assert limited.files == ("0.jpg", "1.jpg")
    assert len(limited.skipped) == 1


def test_a_broken_link_is_skipped_and_named_within_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("nowhere.png")
    assert load_samples(tmp_path, 4, 4).skipped == ("cannot read the image b.png: No such file or directory",)


def test_no_image_left(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_text("text")
    with pytest.raises(
        RequestError, match=r"holds 2 image file\(s\), none readable: .*a\.jpg: not recognised as an image"
    ) as error:
        load_samples(tmp_path, 4, 4, limit=1)
    one_line(error)


def test_folders_that_are_missing_or_without_images(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"cannot find .*nowhere: expected a folder of images"):
        load_samples(tmp_path / "nowhere", 4, 4)
    with pytest.raises(RequestError, match="No such file"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RequestError, match=r"holds no image; names that count end in \.bmp"):
        load_samples(tmp_path, 4, 4)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(RequestError, match=r"cannot list the image folder .*closed: Permission denied"):
        load_samples(tmp_path, 4, 4)


def test_a_single_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    samples = load_samples(path, H, W)
    assert (samples.name, samples.files, len(samples)) == ("a.png", ("a.png",), 1)
    assert np.array_equal(samples.arrays[0], to_input(picture(), H, W))
    path.write_text("text")
    with pytest.raises(ImageError, match=r"a\.png"):
        load_samples(path, H, W)


def test_other_channel_counts_are_sent_to_npz(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(RequestError, match=r"the model takes 4: .*\.npz file with one float array \(N, 4, H, W\)"):
        load_samples(tmp_path, 4, 4, channels=4)


# --- archives --------------------------------------------------------------------------------------------------------

PIXELS = np.stack([picture(k) for k in range(4)])
FLOATS = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


@pytest.mark.parametrize(
    "stored", [PIXELS, FLOATS, FLOATS.transpose(0, 2, 3, 1), FLOATS.astype(">f4"), FLOATS.astype(np.float64)]
)
def test_forms_of_an_npz(tmp_path: Path, stored: NDArray[np.generic]) -> None:
    path = tmp_path / "a.NPZ"
    with path.open("wb") as file:
        np.savez(file, anything=stored)
    samples = load_samples(path, H, W)
    assert np.array_equal(samples.arrays, FLOATS)
    assert samples.arrays.dtype == np.dtype("=f4")
    assert samples.files[3] == "a.NPZ[3]"
    assert samples.ids[0] == hashlib.sha256(np.ascontiguousarray(stored[0]).tobytes()).hexdigest()
    assert load_samples(path, H, W, limit=2).files == ("a.NPZ[1]", "a.NPZ[3]")


def test_an_npz_of_pixels_is_resized_like_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=PIXELS[..., 0])
    assert np.array_equal(load_samples(tmp_path / "a.npz", 5, 7).arrays[1], to_input(PIXELS[1], 5, 7))
    assert load_samples(tmp_path / "a.npz", 5, 7, channels=1).arrays.shape == (4, 1, 5, 7)


def test_an_npz_brings_any_channel_count(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.full((2, 5, 8, 9), 0.5, np.float16))
    assert load_samples(tmp_path / "a.npz", 8, 9, channels=5).arrays.shape == (2, 5, 8, 9)
    with pytest.raises(RequestError, match=r"\(2, 5, 8, 9\); expected float in \[0, 1\] \(N, 4, 8, 9\)$"):
        load_samples(tmp_path / "a.npz", 8, 9, channels=4)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "holds nothing; expected one array"),
        ({"a": PIXELS, "b": PIXELS}, "holds a, b; expected one array, or one called 'images'"),
        ({"a": PIXELS[0]}, r"holds uint8 \(12, 20, 3\); expected uint8 \(N, H, W, 3\) or float"),
        ({"a": PIXELS[:0]}, r"\(0, 12, 20, 3\); expected"),
        ({"a": PIXELS.astype(np.int64)}, "holds int64"),
        ({"a": PIXELS.transpose(0, 3, 1, 2)}, r"holds uint8 \(4, 3, 12, 20\)"),
        ({"a": FLOATS[:, :, :6]}, r"\(4, 3, 6, 20\); .* \(N, 3, 12, 20\) or \(N, 12, 20, 3\)$"),
        ({"a": FLOATS * 255}, r"holds values from \d+ to \d+; expected floats in \[0, 1\], or uint8"),
        ({"a": FLOATS - 0.5}, "holds values from -0.4"),
        ({"a": np.full((1, 3, H, W), np.nan, np.float32)}, "holds values from nan"),
        ({"a": np.array([{"pickled": 1}], dtype=object)}, "pickled objects"),
    ],
)
def test_refused_npz(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(RequestError, match=words) as error:
        load_samples(tmp_path / "a.npz", H, W)
    assert "a.npz" in one_line(error)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, PIXELS)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2], whole[:200] + b"\xff" * 64 + whole[264:]):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=r"cannot read .*a\.npz") as error:
            load_samples(path, H, W)
        one_line(error)
    with path.open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(RequestError, match=r"a\.npz as an \.npz archive of plain arrays: File is not a zip file"):
        load_samples(path, H, W)
    with pytest.raises(RequestError, match="No such file"):
        load_samples(tmp_path / "none.npz", H, W)


# --- masks -----------------------------------------------------------------------------------------------------------

MASK = (np.arange(H * W) % 3).reshape(H, W).astype(np.uint8)


def labelled(folder: Path, mask: Image.Image | bytes | None) -> Path:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    write(folder / "images" / "a.jpg")
    if isinstance(mask, bytes):
        (folder / "labels" / "a.png").write_bytes(mask)
    elif mask is not None:
        mask.save(folder / "labels" / "a.png")
    return folder


def gray_png(values: NDArray[np.uint8], bits: int) -> bytes:
    """A PNG as optimisers write it: gray of 1, 2 or 4 bits (Pillow itself writes only 1 and 8)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    spread = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(len(values), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(spread, axis=1))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def palette_mask() -> Image.Image:
    image = Image.fromarray(MASK, "L")
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    return image


@pytest.mark.parametrize("mask", [Image.fromarray(MASK), palette_mask(), gray_png(MASK, 2), gray_png(MASK, 4)])
def test_a_mask_keeps_its_class_indices(tmp_path: Path, mask: Image.Image | bytes) -> None:
    loaded = load_labelled(labelled(tmp_path, mask), H, W)
    assert loaded.labels.dtype == np.uint8
    assert np.array_equal(loaded.labels[0], MASK)
    assert (loaded.samples.name, loaded.samples.files) == (tmp_path.name, ("a.jpg",))


def test_a_black_and_white_mask_has_classes_0_and_1(tmp_path: Path) -> None:
    loaded = load_labelled(labelled(tmp_path, gray_png(MASK // 2, 1)), H, W)
    assert np.array_equal(loaded.labels[0], MASK // 2)


def test_masks_are_resized_without_mixing_classes(tmp_path: Path) -> None:
    two = np.repeat([[0], [2]], [6, 6], axis=0).repeat(W, axis=1).astype(np.uint8)
    loaded = load_labelled(labelled(tmp_path, Image.fromarray(two)), 7, 30)
    assert loaded.samples.arrays.shape == (1, 3, 7, 30)
    assert loaded.labels.shape == (1, 7, 30)
    assert set(np.unique(loaded.labels)) == {0, 2}


def test_labelled_images_of_a_model_with_one_channel(tmp_path: Path) -> None:
    folder = labelled(tmp_path, Image.fromarray(MASK))
    loaded = load_labelled(folder, 7, 30, channels=1)
    assert loaded.samples.arrays.shape == (1, 1, 7, 30)
    assert np.array_equal(loaded.samples.arrays, load_samples(folder / "images", 7, 30, channels=1).arrays)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (None, r"the mask .*a\.png is missing"),
        (Image.fromarray(picture()), r"a\.png is of colours; --palette FILE"),
        (Image.fromarray(MASK[:5]), r"a\.png is 5 x 20, its image 12 x 20"),
        (b"text", r"cannot read the mask .*a\.png: not recognised as an image"),
        (gray_png(MASK, 4)[:60], r"cannot read the mask .*a\.png"),
    ],
)
def test_refused_masks(tmp_path: Path, mask: Image.Image | bytes | None, words: str) -> None:
    with pytest.raises(RequestError, match=words) as error:
        load_labelled(labelled(tmp_path, mask), 8, 8)
    one_line(error)


def test_an_unreadable_image_leaves_with_its_mask(tmp_path: Path) -> None:
    folder = labelled(tmp_path, Image.fromarray(MASK))
    (folder / "images" / "b.jpg").write_text("text")
    loaded = load_labelled(folder, 8, 8)
    assert len(loaded.samples) == len(loaded.labels) == 1
    assert len(loaded.samples.skipped) == 1


# --- shipped images --------------------------------------------------------------------------------------------------


def test_shipped_calibration_images() -> None:
    samples = load_samples(default_calibration(), 256, 256)
    assert samples.arrays.shape == (32, 3, 256, 256)
    assert samples.skipped == ()
    means = samples.arrays.mean(axis=(1, 2, 3))
    colour = np.ptp(samples.arrays, axis=1).mean(axis=(1, 2))
    assert (means < 0.2).sum() == 21  # fluorescence
    assert ((means > 0.5) & (colour < 0.02)).sum() == 3  # gray brightfield
    assert (colour > 0.04).sum() == 8  # stained


def test_shipped_evaluation_images() -> None:
    evaluation = load_labelled(default_evaluation(), 256, 256)
    assert evaluation.samples.arrays.shape == (8, 3, 256, 256)
    assert evaluation.labels.shape == (8, 256, 256)
    for mask in evaluation.labels:
        assert set(np.unique(mask)) == {0, 1}
    assert not set(evaluation.samples.ids) & set(load_samples(default_calibration(), 8, 8).ids)


def test_the_readme_lists_exactly_the_shipped_images() -> None:
    root = default_calibration().parent
    listed = re.findall(r"^\| (\d+\.jpg) .*`([0-9a-f]{64})` \|$", (root / "README.md").read_text("utf-8"), re.MULTILINE)
    files = [*find_images(default_calibration()), *find_images(default_evaluation() / "images")]
    assert sorted(listed) == sorted((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)


def test_shipped_data_is_small_and_licensed() -> None:
    root = default_calibration().parent
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 1_000_000
    assert "CC0-1.0" in (root / "LICENSE").read_text("utf-8")
