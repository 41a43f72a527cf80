"""Kinds of photographs' files: each is read as people see it, or refused in a sentence, and none
hangs, runs a program or is dropped."""

import contextlib
import io
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, features

from hypertax.data import photograph_files
from hypertax.data.check import SpecimenTableError, check_specimens
from hypertax.data.images import Photographs, middle_square, normalised
from hypertax.data.photograph_files import (
    UnreadablePhotograph,
    check_photograph,
    content_digest,
    decoded,
    read_photograph,
)
from hypertax.data.specimens import COLUMNS, fingerprint
from hypertax.files import ROOT
from hypertax.taxonomy import RANKS
from test_check import table_of

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
WIDTH, HEIGHT = 60, 48


def colours():
    """Four corners of different colours, so that a turned picture is seen."""
    y, x = np.mgrid[0:1:48j, 0:1:60j]
    return np.stack([255 * x, 255 * y, 128 * (1 - x) + 60 * y], -1).round().astype(np.uint8)


def greys():
    return np.asarray(Image.fromarray(colours()).convert("L"))


COLOUR, GREY = Image.fromarray(colours()), Image.fromarray(greys())


def saved(picture, kind, **more):
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


def array(values, kind, **more):
    return saved(Image.fromarray(values), kind, **more)


def see_through(mode):
    """The left half transparent, over another colour."""
    left = np.broadcast_to(np.arange(WIDTH) < 30, (HEIGHT, WIDTH))
    alpha = Image.fromarray(np.where(left, 0, 255).astype(np.uint8))
    picture = COLOUR if mode == "RGBA" else GREY
    picture = picture.convert(mode)
    picture.putalpha(alpha)
    return picture


def on_white(values):
    values = values.copy()
    values[:, :30] = 255
    return values


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )


def png(width, height, depth, colour, pixels, *more):
    """A PNG of other depths than Pillow writes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + body


def oriented(number):
    """A JPEG whose EXIF says how its pixels are to be turned to be the picture."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x112] = number
    stored = COLOUR.transpose(undo[number]) if number in undo else COLOUR
    return saved(stored, "JPEG", quality=95, subsampling=0, exif=exif)


def floats(scale, **holes):
    values = greys().astype(np.float32) / 255 * scale
    for value in holes.values():
        values[0, 0] = value
    return array(values, "TIFF")


def keyed(picture, key):
    """One colour is transparent."""
    return saved(picture, "PNG", transparency=key)


def palette():
    return COLOUR.quantize(256, dither=Image.Dither.NONE)


def palette_with_a_hole():
    picture = Image.fromarray((greys() // 128).astype(np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    return saved(picture, "PNG", transparency=0)


def hole():
    return np.where((greys() // 128)[..., None] == 0, [255, 255, 255], [0, 0, 255])


def animated(kind, **more):
    other = Image.new("RGB", COLOUR.size, (9, 9, 9))
    return saved(COLOUR, kind, save_all=True, append_images=[other, other], **more)


EXACT, CLOSE, ROUGH = 0, 6, 24
SIXTEEN = greys().astype(np.uint16) * 257
READ = {
    # name: (content, its pixels, levels that they may differ by)
    "jpg": (lambda: saved(COLOUR, "JPEG", quality=95, subsampling=0), colours, CLOSE),
    "progressive jpg": (
        lambda: saved(COLOUR, "JPEG", quality=95, progressive=True),
        colours,
        ROUGH,
    ),
    "grey jpg": (lambda: saved(GREY, "JPEG", quality=95), greys, CLOSE),
    "CMYK jpg": (lambda: saved(COLOUR.convert("CMYK"), "JPEG", quality=95), colours, ROUGH),
    "jpg of several pictures": (lambda: animated("MPO", quality=95), colours, ROUGH),
    **{
        f"jpg of orientation {n}": (lambda n=n: oriented(n), colours, CLOSE) for n in range(10)
    },
    "jpg with a broken EXIF": (
        lambda: saved(COLOUR, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0II*\0\xff\xff\xff"),
        colours,
        CLOSE,
    ),
    "png": (lambda: saved(COLOUR, "PNG"), colours, EXACT),
    "grey png": (lambda: saved(GREY, "PNG"), greys, EXACT),
    "png of one bit": (
        lambda: saved(GREY.point(lambda v: 255 * (v > 127), "1"), "PNG"),
        lambda: (255 * (greys() > 127)).astype(np.uint8),
        EXACT,
    ),
    "png with a palette": (
        lambda: saved(palette(), "PNG"),
        lambda: palette().convert("RGB"),
        EXACT,
    ),
    "png with a hole in its palette": (palette_with_a_hole, hole, EXACT),
    "transparent png": (
        lambda: saved(see_through("RGBA"), "PNG"),
        lambda: on_white(colours()),
        EXACT,
    ),
    "transparent grey png": (
        lambda: saved(see_through("LA"), "PNG"),
        lambda: on_white(greys()),
        EXACT,
    ),
    "png with a transparent colour": (
        lambda: keyed(Image.new("RGB", COLOUR.size, (1, 2, 3)), (1, 2, 3)),
        lambda: np.full((HEIGHT, WIDTH), 255),
        EXACT,
    ),
    "png with a transparent grey": (
        lambda: keyed(Image.new("L", COLOUR.size, 7), 7),
        lambda: np.full((HEIGHT, WIDTH), 255),
        EXACT,
    ),
    "grey png of 16 bits": (lambda: array(SIXTEEN, "PNG"), greys, EXACT),
    "grey png of 16 bits, times 256": (
        lambda: array(greys().astype(np.uint16) * 256, "PNG"),
        greys,
        EXACT,
    ),
    "png of 16 bits": (
        lambda: png(WIDTH, HEIGHT, 16, 2, (colours().astype(np.uint16) * 257).astype(">u2")),
        colours,
        EXACT,
    ),
    "animated png": (lambda: animated("PNG"), colours, EXACT),
    "tif": (lambda: saved(COLOUR, "TIFF"), colours, EXACT),
    "tif by LZW": (lambda: saved(COLOUR, "TIFF", compression="tiff_lzw"), colours, EXACT),
    "tif by deflate": (
        lambda: saved(COLOUR, "TIFF", compression="tiff_adobe_deflate"),
        colours,
        EXACT,
    ),
    "tif by JPEG": (lambda: saved(COLOUR, "TIFF", compression="jpeg", quality=95), colours, ROUGH),
    "CMYK tif": (lambda: saved(COLOUR.convert("CMYK"), "TIFF"), colours, CLOSE),
    "tif of several pages": (lambda: animated("TIFF"), colours, EXACT),
    "tif of orientation 6": (
        lambda: saved(COLOUR.transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={274: 6}),
        colours,
        EXACT,
    ),
    "tif of 16 bits": (lambda: array(SIXTEEN, "TIFF"), greys, EXACT),
    "tif of 16 bits, the higher byte first": (
        lambda: array(SIXTEEN.astype(">u2"), "TIFF"),
        greys,
        EXACT,
    ),
    "tif of 16 bits, white is zero": (
        lambda: array(65535 - SIXTEEN, "TIFF", tiffinfo={262: 0}),
        greys,
        EXACT,
    ),
    "tif of 32 bits": (lambda: array(SIXTEEN.astype(np.int32), "TIFF"), greys, EXACT),
    "tif of all 32 bits": (lambda: array(greys().astype(np.int32) << 23, "TIFF"), greys, EXACT),
    "tif of floats to 1": (lambda: floats(1), greys, EXACT),
    "tif of floats a little over 1": (lambda: floats(1, hole=1.2), greys, 255),
    "tif of floats to 255": (lambda: floats(255), greys, EXACT),
    "tif of floats to 65535": (lambda: floats(65535), greys, EXACT),
    "tif of large floats": (lambda: floats(1e9), lambda: greys() * (255 / greys().max()), 1),
    "tif of floats without a number": (lambda: floats(1, hole=np.nan), greys, 255),
    "gif": (lambda: saved(palette(), "GIF"), lambda: palette().convert("RGB"), EXACT),
    "animated gif": (lambda: animated("GIF"), colours, ROUGH),
    "webp": (lambda: saved(COLOUR, "WEBP", lossless=True), colours, EXACT),
    "transparent webp": (
        lambda: saved(see_through("RGBA"), "WEBP", lossless=True),
        lambda: on_white(colours()),
        EXACT,
    ),
    "animated webp": (lambda: animated("WEBP", lossless=True), colours, EXACT),
    "bmp": (lambda: saved(COLOUR, "BMP"), colours, EXACT),
    "ppm": (lambda: saved(COLOUR, "PPM"), colours, EXACT),
    "pgm of 16 bits": (
        lambda: b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + SIXTEEN.astype(">u2").tobytes(),
        greys,
        EXACT,
    ),
    "jp2": (lambda: saved(COLOUR, "JPEG2000", irreversible=False), colours, EXACT),
    "avif": (lambda: saved(COLOUR, "AVIF", quality=95), colours, ROUGH),
}


@pytest.mark.parametrize("ending", ["as it is", "jpg"])
@pytest.mark.parametrize("kind", READ)
def test_a_photograph_is_read_as_people_see_it(tmp_path, kind, ending):
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this build of Pillow has no AVIF")
    make, expected, levels = READ[kind]
    path = tmp_path / ("a.jpg" if ending == "jpg" else kind)
    path.write_bytes(make())
    check_photograph(path)
    picture = decoded(path, read_photograph(path))
    assert picture.mode == "RGB" and picture.size == (WIDTH, HEIGHT)
    expected = np.asarray(expected()).astype(int)
    expected = expected if expected.ndim == 3 else expected[..., None]
    far = np.abs(np.asarray(picture).astype(int) - expected).max(axis=-1)
    # A made-up value is in the first pixel, if anywhere.
    assert far.max() <= levels and far.ravel()[1:].max() <= min(levels, ROUGH)


def cut(content, share=0.5):
    return content[: int(len(content) * share)]


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 48\n%%EndComments\nshowpage\n"
REFUSED = {
    # name: (content, what the sentence says)
    "nothing": (lambda: b"", "it is empty"),
    "text": (lambda: b"not an image", "it is in no known format of images"),
    "zeros": (lambda: bytes(5000), "no known format"),
    "a page": (lambda: b"<html><body>404</body></html>", "no known format"),
    "postscript": (lambda: POSTSCRIPT, "no known format"),
    "DOS postscript": (
        lambda: (
            b"\xc5\xd0\xd3\xc6"
            + struct.pack("<6I", 32, len(POSTSCRIPT), 0, 0, 0, 0)
            + bytes(4)
            + POSTSCRIPT
        ),
        "no known format",
    ),
    "pdf": (lambda: saved(COLOUR, "PDF"), "no known format"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no known format"),
    "icon": (lambda: saved(COLOUR, "ICO"), "no known format"),
    "targa": (lambda: saved(COLOUR, "TGA"), "no known format"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "no known format"),
    "python's pickle": (lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.", "no known format"),
    "half a jpg": (lambda: cut(saved(NOISE, "JPEG")), "broken"),
    "a jpg's first bytes": (lambda: saved(NOISE, "JPEG")[:20], "no known format|broken"),
    "half a png": (lambda: cut(saved(NOISE, "PNG")), "broken"),
    "half a webp": (lambda: cut(saved(NOISE, "WEBP")), "broken|no known format"),
    "half a gif": (lambda: cut(saved(NOISE, "GIF")), "broken"),
    "half a tif": (lambda: cut(saved(NOISE, "TIFF")), "broken|no known format"),
    "half a jp2": (lambda: cut(saved(NOISE, "JPEG2000")), "broken"),
    "half a bmp": (lambda: cut(saved(NOISE, "BMP")), "broken"),
    "a png with a wrong checksum": (
        lambda: saved(NOISE, "PNG").replace(b"IDAT", b"IDAT\1", 1),
        "broken",
    ),
    "a gif without a frame": (lambda: b"GIF89a\1\0\1\0\0\0\0;", "broken|no known format"),
    "a png of too many pixels": (lambda: png(60_000, 60_000, 8, 0, []), "120 million pixels"),
    "a png a little too large": (lambda: png(12_000, 10_001, 8, 0, []), "120 million pixels"),
    "a bmp of too many pixels": (
        lambda: (
            saved(COLOUR, "BMP")[:18]
            + struct.pack("<ii", 30_000, 30_000)
            + saved(COLOUR, "BMP")[26:]
        ),
        "120 million pixels",
    ),
    "a pgm of too many pixels": (lambda: b"P5 50000 50000 255\n", "120 million pixels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_photograph_is_refused_in_a_sentence(tmp_path, kind, monkeypatch):
    """No program is run either: one of Ghostscript's name is there to be found."""
    program, ran = tmp_path / "bin" / "gs", tmp_path / "ran"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    make, said = REFUSED[kind]
    path = tmp_path / "a.jpg"
    path.write_bytes(make())
    sentence = rf"a\.jpg cannot be read as a photograph: .*({said})"
    with pytest.raises(UnreadablePhotograph, match=sentence) as error:
        decoded(path, read_photograph(path))
    assert "\n" not in str(error.value) and not error.value.missing
    view, read = Photographs([str(path)], 32).view(torch.tensor([0]), augment=False)
    assert not read.any() and torch.equal(view, normalised(torch.zeros(1, 3, 32, 32)))
    assert not ran.exists()


DAMAGED = ("jpg", "png", "tif by LZW", "gif", "webp", "transparent png", "jp2")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_refused_or_leaves_a_photograph(kind, soon):
    """Bytes changed, taken out and put in, mostly where the header is: 3,000 such files over all
    kinds gave no other error, none took longer than 0.3 s."""
    whole, draw = READ[kind][0](), random.Random(0)
    read = 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 3, 20])):
            at = draw.randrange(min(len(content), draw.choice([200, len(content)])))
            change = draw.choice(["set", "set", "take", "put"])
            if change == "set":
                content[at] = draw.randrange(256)
            elif change == "take":
                del content[at : at + draw.randrange(1, 20)]
            else:
                content[at:at] = draw.randbytes(draw.randrange(1, 9))
        with contextlib.suppress(UnreadablePhotograph):
            read += middle_square("a.jpg", bytes(content), 56).shape == (3, 56, 56)
    assert 0 < read < 60


@pytest.fixture
def soon():
    """A test that waits for longer than 20 seconds fails."""

    def late(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def places(tmp_path):
    """Names that are no regular files, by what they are."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "none.jpg")
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # A socket's path is at most about a hundred characters long.
        server.bind("socket.jpg")
        os.chdir(here)
        yield {
            tmp_path / "pipe.jpg": "it is a pipe",
            tmp_path / "link.jpg": "it is a pipe",
            tmp_path / "folder.jpg": "it is a folder",
            tmp_path / "socket.jpg": "it is a socket",
            "/dev/zero": "it is a device",
            tmp_path / "loop.jpg": "too many levels of symbolic links",
            tmp_path / "nowhere.jpg": "there is no such file",
            tmp_path / "none.jpg": "there is no such file",
            tmp_path / "file" / "a.jpg": "there is no such file",
            tmp_path / ("x" * 300): "file name too long",
            f"{tmp_path}/a\0.jpg": "it is broken",
        }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_regular_files_are_opened(places, soon):
    for path, reason in places.items():
        for see in (read_photograph, check_photograph):
            with pytest.raises(UnreadablePhotograph, match=reason):
                see(path)
        assert content_digest(path) is None
    found = Photographs([str(path) for path in places], 32)
    _, read = found.view(torch.arange(len(places)), augment=False)
    assert not read.any()


def test_a_large_file_is_refused_by_its_name_before_it_is_read(tmp_path):
    path = tmp_path / "large.jpg"
    with open(path, "wb") as file:
        file.truncate(photograph_files.MOST_BYTES + 1)
    for see in (read_photograph, check_photograph):
        with pytest.raises(UnreadablePhotograph, match=r"large\.jpg .* more than 512 MiB\.$"):
            see(path)
    assert not any(path.name in str(key) for key in photograph_files._DIGESTS)


def test_a_link_to_a_photograph_is_read(tmp_path):
    COLOUR.save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert read_photograph(tmp_path / "b.png") == (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize("size", [(20_000, 1), (2, 9000), (3000, 300)])
def test_a_strip_does_not_fill_the_memory(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "a.png")
    view, read = Photographs([str(tmp_path / "a.png")], 224).view(torch.tensor([0]), augment=False)
    expected = normalised(torch.tensor([10.0, 20, 30])[:, None, None].expand(1, 3, 224, 224))
    assert read.all() and torch.allclose(view, expected)


def test_a_large_photograph_below_the_limit_is_read_without_a_warning(tmp_path):
    Image.new("L", (11_648, 8_736), 99).save(tmp_path / "a.jpg")
    code = (
        "import sys; from hypertax.data.photograph_files import *\n"
        "picture = decoded('a.jpg', read_photograph(sys.argv[1]), least=256)\n"
        "print(picture.getpixel((5, 5)), min(picture.size) < 2000)"
    )
    command = [sys.executable, "-W", "default", "-c", code, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(99, 99, 99) True\n", "")


def test_a_table_names_the_rows_of_what_is_no_photograph(tmp_path):
    COLOUR.save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "b.jpg").write_bytes(POSTSCRIPT)
    names = ["a.png", "pipe.jpg", "b.jpg", "none.jpg"]
    specimens = table(*(tmp_path / name for name in names))
    with pytest.raises(SpecimenTableError) as error:
        check_specimens(specimens, source="mine.tsv", rows=[2, 3, 4, 5])
    lines = str(error.value).split("\n")
    (broken,) = [line for line in lines if "cannot be opened as an image" in line]
    (missing,) = [line for line in lines if "not found" in line]
    assert "2 files" in broken and "pipe.jpg (it is a pipe) (rows 3, 4)" in broken
    assert "1 image not found" in missing and "(row 5)" in missing


def table(*paths):
    """Specimens of one species, one for each file."""
    found = pd.DataFrame({"sampleid": [f"S{n}" for n in range(len(paths))]})
    names = dict(zip(RANKS, ("Diptera", "Culicidae", "Aedes", "Aedes aegypti"), strict=True))
    found = found.assign(image=list(map(str, paths)), barcode=None, **names, split="train_seen")
    return found[list(COLUMNS)].astype("str")


def test_other_pixels_in_a_file_of_the_same_name_and_size_are_other_data(tmp_path):
    """Whatever its date says, within a process and at once."""
    path = tmp_path / "a.bmp"
    COLOUR.save(path)
    old = os.stat(path)
    os.utime(path, ns=(old.st_atime_ns - 10**12, old.st_mtime_ns - 10**12))
    before = fingerprint(table(path))
    assert fingerprint(table(path)) == before
    date, size = os.stat(path).st_mtime_ns, path.stat().st_size
    for n in range(5):
        Image.fromarray(255 - n - colours()).save(path)
        os.utime(path, ns=(date, date))
        assert path.stat().st_size == size and fingerprint(table(path)) != before
    COLOUR.save(path)
    assert fingerprint(table(path)) == before


def test_the_data_are_the_same_whatever_the_files_are_called(tmp_path):
    COLOUR.save(tmp_path / "a.bmp")
    shutil.copy(tmp_path / "a.bmp", tmp_path / "b.bmp")
    GREY.save(tmp_path / "c.bmp")
    same = [fingerprint(table(tmp_path / name)) for name in ("a.bmp", "b.bmp")]
    assert same[0] == same[1] != fingerprint(table(tmp_path / "c.bmp"))
    gone = [fingerprint(table(tmp_path / name)) for name in ("d.bmp", "e.bmp")]
    assert len({*gone, same[0]}) == 3


def test_of_very_many_images_name_and_size_stand_for_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr("hypertax.data.specimens._MANY_IMAGES", 0)
    monkeypatch.setattr("hypertax.data.specimens.content_digest", lambda path: pytest.fail("read"))
    COLOUR.save(tmp_path / "a.bmp")
    before = fingerprint(table(tmp_path / "a.bmp"))
    Image.fromarray(255 - colours()).save(tmp_path / "a.bmp")
    assert fingerprint(table(tmp_path / "a.bmp")) == before
    (tmp_path / "a.bmp").write_bytes(b"1")
    assert fingerprint(table(tmp_path / "a.bmp")) != before


def test_a_settled_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a.bmp"
    COLOUR.save(path)
    monkeypatch.setattr(photograph_files, "_SETTLED", 0)
    first = content_digest(path)
    monkeypatch.setattr(photograph_files, "read_photograph", lambda path: pytest.fail("read"))
    assert content_digest(path) == first
    assert stat.S_ISREG(path.stat().st_mode)


CASES = ROOT.parent / "shared" / "cases"


@pytest.mark.parametrize(
    ("case", "names", "far"),
    [
        ("image_16_bit_grey", ("g8.png", "g16.png", "g16.tif", "f32.tif"), 0.01),
        ("image_exif_orientation", ("upright.jpg", "exif6.jpg"), 0.1),
    ],
)
def test_the_files_of_a_case_look_alike(case, names, far):
    if not (CASES / case).is_dir():
        pytest.skip("the cases ../shared/cases are not on this machine")
    photographs = Photographs([str(CASES / case / name) for name in names], 48)
    views, read = photographs.view(torch.arange(len(names)), augment=False)
    assert read.all() and (views - views[:1]).abs().max() <= far
