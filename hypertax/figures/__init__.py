"""Figures: functions that take data and return a matplotlib figure, one module a figure, in one
style.

`save_figure` writes them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "style": ["clade_colours", "order_colours", "save_figure"],
        "looks": ["Look", "looks_of"],
        "collapse": ["collapse_dynamics", "most_collapsed"],
        "confusion": ["confusion_in_the_tree"],
        "differences": ["difference_intervals"],
        "data": ["barcode_distances", "labels_per_rank", "specimen_gallery"],
        "lineages": ["specimen_lineages"],
        "nested": ["nested_cones"],
        "open_world": ["precision_against_coverage"],
        "fidelity": ["fidelity_curves"],
        "harder_reads": ["scores_of_harder_reads"],
        "retrieval": ["retrieval_examples"],
        "scores": ["accuracy_by_rank", "validation_bars"],
        "radius": ["radius_by_rank"],
        "spaces": ["euclidean_plane", "poincare_disk", "spaces_side_by_side"],
        "sweeps": ["sweep_curves", "sweep_scores"],
        "training": ["geometry_curves", "training_curves"],
        "tree": ["taxonomy_tree"],
        "walk": ["walk_to_root"],
        "method": ["method_figure"],
    },
)
