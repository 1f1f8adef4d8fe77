"""PNG and JPEG: what each kind of pixel becomes."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import output_path, read_labels, read_volume, write_image, write_labels
from napari_fewshot.types import Array, Volume

GREY = np.arange(30, dtype=np.uint8).reshape(5, 6)
COLOUR = np.random.default_rng(0).integers(0, 255, (5, 6, 4), dtype=np.uint8)


def save(path: Path, data: Array) -> Path:
    Image.fromarray(data).save(path)
    return path


def raw_png(path: Path, rows: list[bytes], width: int, bits: int, colour: int) -> Path:
    """Write a PNG of a bit depth that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("data", [GREY, GREY.astype(np.uint16) * 2000])
def test_grey(tmp_path: Path, data: Array) -> None:
    volume = read_volume(save(tmp_path / "image.png", data))
    assert volume.data.dtype == data.dtype
    assert volume.spacing == (1, 1)
    assert volume.affine is None
    np.testing.assert_array_equal(volume.data, data)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_keep_their_values(tmp_path: Path, bits: int) -> None:
    # 0x1B and 0xE4 are the pixels 0, 1, 2, 3 and 3, 2, 1, 0 of two bits each.
    rows = [b"\x1b", b"\xe4"]
    per_byte = 8 // bits
    source = raw_png(tmp_path / "image.png", rows, per_byte, bits, 0)
    expected = [
        [(row[0] >> shift) & (2**bits - 1) for shift in range(8 - bits, -1, -bits)] for row in rows
    ]
    np.testing.assert_array_equal(read_volume(source).data, expected)
    np.testing.assert_array_equal(read_labels(source).data, expected)


def test_colour_is_kept_and_alpha_dropped(tmp_path: Path) -> None:
    for channels in (3, 4):
        volume = read_volume(save(tmp_path / "image.png", COLOUR[..., :channels]))
        assert volume.has_channels
        np.testing.assert_array_equal(volume.data, COLOUR[..., :3])
    volume = read_volume(save(tmp_path / "image.png", np.ascontiguousarray(COLOUR[..., :2])))
    assert not volume.has_channels
    np.testing.assert_array_equal(volume.data, COLOUR[..., 0])


def test_palette_gives_colours_to_images_and_indices_to_labels(tmp_path: Path) -> None:
    image = Image.new("P", (6, 5))
    image.putdata((GREY // 10).ravel().tolist())
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png").data, GREY // 10)
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]])
    np.testing.assert_array_equal(read_volume(tmp_path / "labels.png").data, colours[GREY // 10])


@pytest.mark.parametrize(("high", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_labels_return(tmp_path: Path, high: int, dtype: type) -> None:
    labels = np.zeros((5, 6), np.int32)
    labels[2, 3] = high
    write_labels(tmp_path / "out.png", labels, Volume.of(GREY))
    again = read_labels(tmp_path / "out.png").data
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, labels)


def test_what_png_cannot_hold_names_tiff(tmp_path: Path) -> None:
    volume = Volume.of(GREY)
    with pytest.raises(InputError, match=r"up to 65535 as a PNG.*up to 65536.*Use TIFF"):
        write_labels(tmp_path / "out.png", GREY.astype(int) + 65536 - 29, volume)
    with pytest.raises(InputError, match=r"up to 65535 as a PNG.*float32.*Use TIFF"):
        write_image(tmp_path / "out.png", GREY / 30, volume)
    with pytest.raises(InputError, match=r"TIFF or NIfTI file for volumes; got shape \(2, 3, 4\)"):
        write_labels(tmp_path / "out.png", np.ones((2, 3, 4), int), Volume.of(np.ones((2, 3, 4))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (6, 4), (4, 2)])
def test_16_bit_colour_is_refused_not_halved(tmp_path: Path, colour: int, samples: int) -> None:
    source = raw_png(tmp_path / "image.png", [bytes(2 * samples)], 1, 16, colour)
    with pytest.raises(InputError, match=r"8 bits for each colour.*Save it as TIFF"):
        read_volume(source)


@pytest.mark.parametrize("end", [10, 20, 45, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, end: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 60), dtype=np.uint8)
    source = save(tmp_path / "image.png", noise)
    content = source.read_bytes()
    source.write_bytes(content[: int(end if end > 1 else end * len(content))])
    with pytest.raises(UnreadableFileError, match="be a whole PNG file"):
        read_volume(source)


def test_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"frame must be 0 for .*; got 1.*one frame"):
        read_volume(save(tmp_path / "image.png", GREY), frame=1)


def test_real_smears(shared_data: Path) -> None:
    source = next(iter(sorted((shared_data / "wbc_2d" / "images").glob("*.png"))))
    image = read_volume(source)
    labels = read_labels(shared_data / "wbc_2d" / "labels" / source.name)
    assert image.data.shape == (300, 300, 3)
    assert labels.shape == image.shape
    assert set(np.unique(labels.data)) <= {0, 1, 2}


def test_every_check_sum_counts(tmp_path: Path) -> None:
    """Also those that Pillow does not look at."""
    image = Image.fromarray(GREY)
    image.save(tmp_path / "image.png", dpi=(72, 72))
    whole = (tmp_path / "image.png").read_bytes()
    for kind in (b"IHDR", b"pHYs", b"IDAT", b"IEND"):
        damaged = bytearray(whole)
        place = whole.index(kind)
        damaged[place + 4 + int.from_bytes(whole[place - 4 : place], "big")] ^= 1
        (tmp_path / "damaged.png").write_bytes(damaged)
        with pytest.raises(UnreadableFileError, match=f"check sum of its chunk '{kind.decode()}'"):
            read_labels(tmp_path / "damaged.png")
    (tmp_path / "more.png").write_bytes(whole + b"what follows is no part of it")
    np.testing.assert_array_equal(read_volume(tmp_path / "more.png").data, GREY)


def test_grey_and_colour(tmp_path: Path) -> None:
    grey = np.full((6, 9), 100, np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.jpg")
    volume = read_volume(tmp_path / "a.jpg")
    np.testing.assert_array_equal(volume.data, grey)
    assert not volume.has_channels
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "b.jpeg")
    assert read_volume(tmp_path / "b.jpeg").has_channels
    assert output_path(tmp_path / "a.jpg", "out") == Path("out/a_labels.png")
    assert output_path(tmp_path / "a.jpg", "out", "_c", "image") == Path("out/a_c.tif")


def test_labels_are_no_jpeg(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="changed by compression"):
        read_labels(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="must be PNG or TIFF"):
        write_labels(tmp_path / "b.jpg", np.zeros((6, 9), int), read_volume(tmp_path / "a.jpg"))


def test_damaged(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFileError, match="must be a whole JPEG file"):
        read_volume(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="frame must be 0"):
        read_volume(tmp_path / "a.jpg", frame=1)


@pytest.mark.parametrize("sides", [(60000, 60000), (2**31 - 1, 7), (9000, 9000)])
def test_sides_that_the_file_cannot_hold(tmp_path: Path, sides: tuple[int, int]) -> None:
    """Refused before Pillow takes memory for them."""
    path = raw_png(tmp_path / "a.png", [b"\0" * 9], 9, 8, 0)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", *sides)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="where the header tells of"):
        read_volume(path)


@pytest.mark.parametrize("kind", [b"iCCP", b"tEXt", b"zTXt", b"gAMA", b"cHRM", b"sRGB", b"pHYs"])
@pytest.mark.parametrize("body", [b"", b"x", b"\0\0\0\0", b"profile\0\0nothing", b"\xff" * 40])
def test_odd_chunks_are_no_fault_of_ours(tmp_path: Path, kind: bytes, body: bytes) -> None:
    """They are left out, or the file is refused by an error of ours."""
    path = raw_png(tmp_path / "a.png", [bytes(range(9))], 9, 8, 0)
    content = path.read_bytes()
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content[:33] + chunk + content[33:])
    with suppress(UnreadableFileError):
        assert read_volume(path).data.tolist() == [list(range(9))]
