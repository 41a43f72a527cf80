"""Barcodes as numbers: codes of bases and k-mers, alignment, and distances between reads.

Reads are text of IUPAC letters; codes are integer matrices.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "aligned": ["AlignedCodes"],
        "alignment": ["AlignedReads", "Profile", "align", "align_cached", "equal_share"],
        "codes": ["BASES", "BarcodeCodes", "base_codes", "kmer_codes"],
        "distances": ["PUBLISHED", "distances_by_relation", "p_distance"],
        "start": ["DnaStart", "fit_start"],
    },
)
