"""The explorer: one self-contained HTML page that shows a trained space.

It opens from disk and loads nothing from the network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["write_explorer"],
    },
)
