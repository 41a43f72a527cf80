"""Processes that work for another one, and end with it."""

from __future__ import annotations

import os
import threading
import time


def end_with_parent(parent: int | None = None) -> None:
    """From now on, end this process soon after the one that it works for has ended.

    Args:
        parent: its number; by default of the process that started this one, as it is now.
    """
    parent = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
