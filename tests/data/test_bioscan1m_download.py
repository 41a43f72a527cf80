"""Fetching BIOSCAN-1M over a network that fails: the package's own code against a server on this
machine, with small files."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bioscan_dataset import BIOSCAN1M
from small_layout import small_layout

from hypertax.data import load_specimens
from hypertax.data.bioscan1m import download as bioscan_download
from hypertax.data.bioscan1m.download import unpack
from hypertax.data.bioscan1m.reader import METADATA
from hypertax.data.split import SPLITS

IMAGES, LISTS = "cropped_256.zip", "CLIBD_partitioning.zip"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """BIOSCAN-1M in small, at the addresses the package asks. `cut` names the files that end
    half-way, `asked` those asked for."""
    root = small_layout(tmp_path / "source")
    partition = root / "bioscan1m" / "CLIBD_partitioning"
    lists = {path.name: path.read_bytes() for path in sorted(partition.iterdir())}
    images = {
        f"bioscan/images/cropped_256/part{'113' if i == 1 else '7'}/BIOUG{i}-A0{i}.jpg": bytes([i])
        * 500
        for i in range(len(SPLITS))
    }
    files = {
        METADATA: (root / "bioscan1m" / METADATA).read_bytes(),
        IMAGES: zipped(images),
        LISTS: zipped({f"CLIBD_partitioning/{name}": content for name, content in lists.items()}),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            content = files[name]
            # The package asks once for where an address leads, and again for the file.
            if self.headers.get("Method") != "HEAD":
                served.asked.append(name)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name in served.cut else content)

        def log_message(self, *_):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.cut, served.asked, served.files = set(), [], files
    threading.Thread(target=served.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{served.server_port}"
    members = [
        (name.removeprefix("bioscan/images/cropped_256/"), {"cropped_256": md5(content)})
        for name, content in images.items()
    ]
    monkeypatch.setattr(
        BIOSCAN1M,
        "meta",
        {"urls": [f"{address}/{METADATA}"], "filename": METADATA, "csv_md5": md5(files[METADATA])},
    )
    monkeypatch.setattr(
        BIOSCAN1M,
        "zip_files",
        {"cropped_256": {"url": f"{address}/{IMAGES}", "md5": md5(files[IMAGES])}},
    )
    # The package looks at four of a million; here at two, the first and that of another part.
    monkeypatch.setattr(BIOSCAN1M, "image_files", members[:2])
    described = {
        "url": f"{address}/{LISTS}",
        "md5": md5(files[LISTS]),
        "files": [(name, md5(text)) for name, text in lists.items()],
    }
    monkeypatch.setattr(BIOSCAN1M, "clibd_partitioning_files", described)
    yield served
    served.shutdown()
    served.server_close()


def fetch(folder):
    return load_specimens("bioscan-1m", data_dir=folder, download=True)


def is_whole(table) -> bool:
    return table["split"].tolist() == list(SPLITS) and all(
        os.path.getsize(path) == 500 for path in table["image"].dropna()
    )


def test_everything_once(tmp_path, server, capsys):
    assert is_whole(fetch(tmp_path)) and server.asked == [METADATA, IMAGES, LISTS]
    shown = capsys.readouterr().err
    assert "100%" in shown and "unpacking" in shown, "progress"
    assert is_whole(fetch(tmp_path)) and len(server.asked) == 3, "nothing is fetched twice"


@pytest.mark.parametrize("name", [METADATA, IMAGES, LISTS])
def test_a_connection_that_breaks_is_noticed_and_the_same_command_goes_on(tmp_path, server, name):
    server.cut = {name}
    with pytest.raises(
        ValueError,
        match=r"could not be downloaded to .* \(a file arrived incomplete\): .* same command"
        r" again.* kept\.$",
    ):
        fetch(tmp_path)
    before = list(server.asked)
    assert before[-1] == name
    server.cut = set()
    assert is_whole(fetch(tmp_path))
    rest = [METADATA, IMAGES, LISTS][[METADATA, IMAGES, LISTS].index(name) :]
    assert server.asked[len(before) :] == rest, "what was complete is not fetched again"


def test_no_connection_is_said_in_one_sentence(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(
        ValueError, match=r"\(.*[Cc]onnection refused.*\): check the network and the disk"
    ) as error:
        fetch(tmp_path)
    assert "\n" not in str(error.value)


def test_a_silent_connection_ends(tmp_path, server, monkeypatch):
    class Silent:
        def __init__(self, *_, **__):
            import socket

            assert socket.getdefaulttimeout() == bioscan_download.SILENCE
            raise TimeoutError("timed out")

    monkeypatch.setattr(bioscan_download, "_Download", Silent)
    with pytest.raises(ValueError, match=r"\(timed out\)"):
        fetch(tmp_path)


def test_interrupted_unpacking_is_completed_without_fetching_again(tmp_path, server):
    """The package looks at its few chosen images only, and would call this whole."""
    table = fetch(tmp_path)
    lost = table["image"].dropna().iloc[-1]
    os.remove(lost)
    kept = os.stat(table["image"].iloc[0]).st_mtime_ns
    assert is_whole(fetch(tmp_path)) and len(server.asked) == 3
    assert os.stat(table["image"].iloc[0]).st_mtime_ns == kept, (
        "what is there is not unpacked again"
    )


def test_an_image_that_the_archive_does_not_hold_is_not_asked_for_again(
    tmp_path, server, monkeypatch
):
    fetch(tmp_path)
    server.asked.clear()
    archive, image = (
        tmp_path / "bioscan-1m" / f"BIOSCAN_1M_{IMAGES}",
        "bioscan/images/cropped_256/part7/BIOUG5-A05.jpg",
    )
    with zipfile.ZipFile(archive) as source:
        server.files[IMAGES] = zipped(
            {name: source.read(name) for name in source.namelist() if name != image}
        )
    monkeypatch.setitem(BIOSCAN1M.zip_files["cropped_256"], "md5", md5(server.files[IMAGES]))
    os.remove(tmp_path / "bioscan-1m" / "bioscan1m" / image.removeprefix("bioscan/"))
    assert len(fetch(tmp_path)) == len(SPLITS) and server.asked == [IMAGES]
    archive.unlink()
    assert len(fetch(tmp_path)) == len(SPLITS) and server.asked == [IMAGES], (
        "7 GB would not bring it"
    )


def test_an_interruption_leaves_no_part_of_an_image(tmp_path, monkeypatch):
    archive = tmp_path / "images.zip"
    archive.write_bytes(
        zipped({"bioscan/a/": b"", "bioscan/a/1.jpg": b"1" * 99, "bioscan/a/2.jpg": b"2" * 99})
    )
    replace = os.replace

    def killed(source, target):
        if target.name == "2.jpg":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path, drop_prefix="bioscan/")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1.jpg"]
    (tmp_path / "a" / "1.jpg").write_bytes(b"1" * 50)
    monkeypatch.setattr(os, "replace", replace)
    unpack(archive, tmp_path, drop_prefix="bioscan/")
    assert {path.name: path.stat().st_size for path in (tmp_path / "a").iterdir()} == {
        "1.jpg": 99,
        "2.jpg": 99,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "images.zip"]
