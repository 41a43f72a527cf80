"""The objectives as pure functions of points: contrastive, entailment and stacked entailment.

They know no model. `blockwise` computes the pairwise parts without keeping a B x B x D tensor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "contrastive": ["contrastive_loss", "gram_of", "taxon_contrastive_loss"],
        "divergence": ["divergence_loss"],
        "entailment": ["Cones", "cone_loss", "pair_entailment", "stacked_entailment"],
        "inputs": ["View"],
        "terms": ["TERM_LABELS"],
    },
)
