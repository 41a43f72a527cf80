"""Every figure: functions that take data and return a matplotlib Figure, in one style; `save_figure` writes them."""

from hypertax.figure_style import method_colours, order_colours, save_figure, style
from hypertax.figures_collapse import collapse_dynamics, most_collapsed
from hypertax.figures_confusion import confusion_in_the_tree, shared_ranks
from hypertax.figures_data import barcode_distances, labels_per_rank, specimen_gallery
from hypertax.figures_lineages import specimen_lineages
from hypertax.figures_nested import nested_cones
from hypertax.figures_scores import accuracy_by_rank, retrieval_examples, validation_bars
from hypertax.figures_spaces import euclidean_plane, poincare_disk, radius_by_rank, spaces_side_by_side
from hypertax.figures_sweeps import sweep_curves, sweep_scores
from hypertax.figures_training import geometry_curves, training_curves
from hypertax.figures_tree import taxonomy_tree
from hypertax.figures_walk import taxa_on_the_way, walk_to_root
from hypertax.method_drawing import method_figure

__all__ = [
    "accuracy_by_rank", "barcode_distances", "collapse_dynamics", "confusion_in_the_tree", "euclidean_plane", "geometry_curves",
    "labels_per_rank", "method_colours", "method_figure", "most_collapsed", "nested_cones", "order_colours", "poincare_disk",
    "radius_by_rank", "retrieval_examples", "save_figure", "shared_ranks", "spaces_side_by_side", "specimen_gallery", "specimen_lineages",
    "style", "sweep_curves", "sweep_scores", "taxa_on_the_way", "taxonomy_tree", "training_curves", "validation_bars", "walk_to_root",
]  # fmt: skip
