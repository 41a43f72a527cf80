"""The model: an encoder and a projection per modality, one space, and how a table is embedded with
it.

Encoders are trained from scratch or come from timm and transformers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "build": ["build_model", "compute_starts"],
        "model": ["HypertaxModel", "assemble_model"],
        "embedding": ["embed"],
        "checked": ["ModelRefused"],
        "encoders": ["EncoderUnavailable", "build_encoders"],
        "image_features": ["ImageFeatures", "frozen_features"],
        "pretrained_images": ["FrozenEncoder", "frozen_encoder"],
        "tokens": ["TextTokens"],
    },
)
