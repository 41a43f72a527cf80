"""Progress of what takes long: a bar where somebody watches, one line where the output is kept."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec

from tqdm.std import tqdm

FRONTENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")
"""Variables that a kernel has where a person looks at its notebook: of Jupyter's server, VS Code,
Colab. papermill and nbconvert set none of them."""


def progress_bar(iterable: Iterable | None = None, **options) -> tqdm:
    """A progress bar for the place where the code runs.

    In a terminal it is tqdm's own. In JupyterLab it is a widget. Where a notebook is executed
    without anybody looking, its terminal, if there is one, shows the bar. A notebook keeps one line
    when the bar ends: `training: 704 steps in 84 s, loss 2.31`; none with `leave=False`.

    Args:
        iterable: what to go through; None where `update` is called. options: as of `tqdm`; `unit`
            is a plural with a space before it.
    """
    if not _in_kernel():
        return tqdm(iterable, **options)
    watched = find_spec("ipywidgets") and any(name in os.environ for name in FRONTENDS)
    # A process that a kernel starts cannot speak to its frontend.
    if watched and multiprocessing.parent_process() is None:
        return _widget_bar()(iterable, **options)
    return _KeptBar(iterable, **options)


def _in_kernel() -> bool:
    # Where there is a kernel, IPython is loaded; the library does not need it.
    python = sys.modules.get("IPython")
    return python is not None and getattr(python.get_ipython(), "kernel", None) is not None


def summary(bar: tqdm) -> str:
    """What a bar has come to, in one line."""
    state = bar.format_dict
    done, total, unit = state["n"], state["total"], state["unit"].strip()
    if total and done < total:
        count = f"{done:,} of {total:,} {unit}"
    elif state["initial"]:
        count = f"{done - state['initial']:,} more {unit}"
    else:
        count = f"{done:,} {unit}"
    found = f", {state['postfix'].replace('=', ' ')}" if state["postfix"] else ""
    return f"{(bar.desc or '').removesuffix(': ')}: {count} in {state['elapsed']:.0f} s{found}"


class _KeptBar(tqdm):
    """A bar for the terminal from which a notebook is executed; the notebook gets the summary."""

    def __init__(self, iterable: Iterable | None = None, **options) -> None:
        self.terminal = _terminal()
        super().__init__(iterable, **options, file=self.terminal)
        if self.disable:
            self.terminal.close()

    def close(self) -> None:
        if self.disable:
            return
        line = summary(self)
        super().close()
        if self.leave:
            print(line, flush=True)
        self.terminal.close()


def _terminal():
    """The terminal that a kernel was started from, open for writing; the null device without."""
    try:
        # Of a kernel's stream, which itself is captured, this is the original one.
        original = sys.stderr.fileno()
        if os.isatty(original):
            return os.fdopen(os.dup(original), "w")
    except (OSError, ValueError):
        pass
    return open(os.devnull, "w")


@cache
def _widget_bar() -> type[tqdm]:
    from tqdm.auto import tqdm as automatic

    class WidgetBar(automatic):
        """tqdm's widget, whose place its summary takes when it ends."""

        handle = None

        def __init__(self, iterable: Iterable | None = None, **options) -> None:
            super().__init__(iterable, **options, display=False)

        def display(self, *args, check_delay: bool = True, **options) -> None:
            super().display(*args, check_delay=False, **options)
            if self.handle is None and (check_delay or self.delay <= 0):
                self.handle = sys.modules["IPython"].display.display(
                    self.container, display_id=True
                )

        def close(self) -> None:
            if self.disable:
                return
            line = summary(self) if self.leave else ""
            super().close()
            if self.handle is not None:
                self.handle.update({"text/plain": line}, raw=True)
                self.container.close()

    return WidgetBar
