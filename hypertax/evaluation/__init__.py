"""What an embedding is worth: retrieval, accuracy, cones, the hierarchy and comparisons with
intervals.

It reads embeddings alone and does not know how they were trained.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accuracy": ["PAIRINGS", "evaluate", "harmonic_mean", "selection_score", "example_queries"],
        "retrieval": ["nearest_keys"],
        "comparison": ["compare", "each_run", "sentences", "study_predictions"],
        "cones": ["geometry", "geometry_table"],
        "specimens_in_cones": ["specimens_in_cones"],
        "hierarchy": ["distance_correlation", "hierarchy_scores", "shared_ranks"],
        "nesting": ["cone_nesting"],
        "unfolding": ["unfold"],
        "walk": ["taxa_on_the_way"],
    },
)
