"""Hyperbolic multimodal representation learning for biological taxonomies."""

__version__ = "0.1.0"
