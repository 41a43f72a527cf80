"""Where an installed library keeps its files."""

from __future__ import annotations

import shutil
import subprocess
import sys

from hypertax.files import HOME, ROOT

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
