"""A simulated data set: a phylogeny, barcodes evolved on it, and photographs drawn from traits on
the same tree.

Everything follows from one seed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dataset": ["simulate"],
    },
)
