"""Queries of species that no key has: which answers can be trusted, and which species are new.

Confidences and thresholds are chosen on validation queries and applied to test queries.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": ["SCORES", "open_world_answers", "study_answers"],
        "curves": [
            "areas",
            "at_thresholds",
            "deepest_ranks",
            "novelty",
            "precision_coverage",
            "thresholds",
        ],
        "comparison": ["choose_scores", "compare_open_world", "open_world_scores"],
    },
)
