"""BIOSCAN-1M in the layout of its own files: reading, a cache of the metadata, and downloading.

Simulated data are written in the same layout and read by the same reader.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "reader": ["Layout", "read_bioscan1m"],
        "download": ["download_bioscan1m"],
    },
)
