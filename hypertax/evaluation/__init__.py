"""What an embedding is worth: retrieval, accuracy, cones, the hierarchy and comparisons with
intervals.

It reads embeddings, or the answers of methods that have none, and does not know how they were made.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "protocol": ["PAIRINGS", "query_splits"],
        "answers": ["SEEDLESS", "Answering", "Answers", "answer"],
        "retrieval": ["nearest_keys"],
        "accuracy": ["METRICS", "evaluate", "harmonic_mean", "query_counts"],
        "epoch_choice": ["selection_score"],
        "label_transfer": ["example_queries", "predictions"],
        "members": ["EmbeddedRun", "each_run", "study_predictions", "study_scores"],
        "comparison": ["compare", "sentences"],
        "cones": ["geometry", "geometry_table", "specimens_in_cones"],
        "kept_divergence": ["fidelity_gains", "fidelity_scores"],
        "hierarchy": ["distance_correlation", "hierarchy_scores", "shared_ranks"],
        "nesting": ["cone_nesting"],
        "unfolding": ["unfold"],
        "walk": ["taxa_on_the_way"],
    },
)
