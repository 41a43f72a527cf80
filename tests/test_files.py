"""Where an installed library keeps its files, and what it writes: whole, durable, or refused in one
sentence."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from hypertax.files import HOME, ROOT, NotWritten, atomic_path, write_text

CODE = """
from hypertax import sources
from hypertax.files import HOME, ROOT
from hypertax.training import identity
print(HOME, ROOT, len(sources.modules("hypertax.data")), identity.behaviour(), sep="\\n")
"""


def test_an_installed_library_works_in_the_current_folder(tmp_path):
    """It knows its own sources, and names runs as the repository does."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HOME / "hypertax", tmp_path / "site" / "hypertax", ignore=ignored)
    (tmp_path / "mine").mkdir()
    said = []
    for folder in (tmp_path / "site", HOME):
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}){CODE}"]
        done = subprocess.run(
            command, cwd=tmp_path / "mine", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stdout.splitlines())
    (home, root, *installed), (own, repository, *rest) = said
    assert (home, root) == (str(tmp_path / "site"), str(tmp_path / "mine"))
    assert own == repository == str(ROOT)
    assert installed == rest and int(installed[0]) > 5


def test_what_is_written_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "new" / "a.txt", "a")
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / "b.txt").write_text("b")
    finally:
        os.umask(before)
    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("new", "new/a.txt", "folder", "folder/b.txt")
    }
    assert modes == {"new": 0o755, "new/a.txt": 0o644, "folder": 0o755, "folder/b.txt": 0o644}


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    did = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        did.append(("fsync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def rename(source, target):
        did.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    write_text(tmp_path / "a.txt", "a")
    inode, folder = (tmp_path / "a.txt").stat().st_ino, tmp_path.stat().st_ino
    assert did.index(("fsync", inode)) < did.index(("rename", inode)) < did.index(("fsync", folder))


WRITE_AND_STOP = """
import os, signal, sys
from pathlib import Path
from hypertax.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_only_what_killed_processes_of_ours_left_is_removed(tmp_path):
    """Hidden files of others stay, and so does what a living process still writes."""
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes" / "mine.txt").write_text("mine")
    (tmp_path / ".a.txt-backup").write_text("mine")
    command = [sys.executable, "-c", WRITE_AND_STOP, str(tmp_path / "a.txt")]
    assert subprocess.run([*command, "killed"]).returncode == -signal.SIGKILL
    left = set(tmp_path.glob(".hypertax-*"))
    with subprocess.Popen(
        [*command, "alive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as alive:
        assert alive.stdout.readline() == "writing\n"
        assert len(left) == 1 and not left & set(tmp_path.glob(".hypertax-*"))
        write_text(tmp_path / "b.txt", "b")
        assert len(list(tmp_path.glob(".hypertax-*"))) == 1, "the living one's"
        alive.communicate("")
    assert (tmp_path / "a.txt").read_text() == "half"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.txt-backup",
        ".notes",
        "a.txt",
        "b.txt",
    ]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EROFS, "can only be read: choose another folder"),
        (errno.EACCES, "may not write there: change the permissions"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_a_disk_that_takes_nothing_is_said_in_one_sentence(tmp_path, monkeypatch, number, words):
    (tmp_path / "a.txt").write_text("before")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    for name in ("fsync", "replace", "mkdir"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            with pytest.raises(NotWritten) as error:
                write_text(tmp_path / "a.txt", "after")
        said = str(error.value)
        assert "a.txt could not be written" in said and words in said and "\n" not in said
        assert (tmp_path / "a.txt").read_text() == "before"
        assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_that_a_library_wrapped_is_still_the_disks(tmp_path):
    with pytest.raises(NotWritten, match="the disk is full"), atomic_path(tmp_path / "a"):
        raise RuntimeError("Error while serializing: I/O error: No space (os error 28)")
    with pytest.raises(RuntimeError, match="^something else$"), atomic_path(tmp_path / "a"):
        raise RuntimeError("something else")
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no", "/elsewhere/table.tsv")


@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_file_may_be_no_larger_than_the_limit(tmp_path, size):
    """By the limit of a process, which the system enforces whoever runs it."""
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2}, {size // 2}))
from pathlib import Path
from hypertax.files import write_text
try:
    write_text(Path(sys.argv[1]), "x" * {size})
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.txt")], capture_output=True, text=True
    )
    assert done.stdout.endswith("larger than a file may be here: choose another folder.\n"), done
    assert list(tmp_path.iterdir()) == []


def test_a_path_through_a_file_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritten, match="choose another folder"):
        write_text(tmp_path / "file" / "a.txt", "a")
    with pytest.raises(NotWritten, match="the name is too long"):
        write_text(tmp_path / ("a" * 300), "a")


def test_a_disk_that_is_full_or_only_readable_is_said_and_nothing_is_left(tmp_path):
    """A real one, of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        write_text(disk / "a", "old")
        with pytest.raises(NotWritten, match=r"^\S+/a could not be written: the disk is full"):
            write_text(disk / "a", "x" * 200_000)
        assert [path.name for path in disk.iterdir()] == ["a"] and (disk / "a").read_text() == "old"
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(NotWritten, match=r"^\S+/b could not be written: .*only be read"):
            write_text(disk / "b", "x")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
