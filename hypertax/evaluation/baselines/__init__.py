"""Rows that need no training: nearest neighbours of barcodes and of photographs as they are, through the
same keys, queries and metrics as every trained row.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "stored": ["StoredAnswers"],
        "methods": ["BASELINES", "Baseline", "Unavailable", "run_baseline"],
        "photographs": ["colour_histograms", "frozen"],
        "reads": ["aligned_reads", "dna_start", "kmer_shares"],
        "vsearch": ["sintax", "vsearch_nearest"],
    },
)
