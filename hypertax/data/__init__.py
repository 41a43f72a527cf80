"""Specimens: photographs, barcodes, names and splits, read from a table, BIOSCAN-1M or simulated.

Every source gives the same kind of table; `batches` turns it into tensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "specimens": [
            "COLUMNS",
            "READERS",
            "data_set_name",
            "fingerprint",
            "load_specimens",
            "simulated_folder",
            "summarise",
        ],
        "table": ["read_queries", "read_table"],
        "fasta": ["read_fasta"],
        "split": ["KEY_SPLITS", "QUERY_SPLITS", "SPLITS", "TRAINING_SPLITS", "clibd_split"],
        "views": ["require_something_to_learn", "views_of"],
        "progress": ["progress_bar"],
        "batches": ["Batch", "Specimens", "loader"],
        "taxon_index": ["TaxonIndex"],
    },
)
