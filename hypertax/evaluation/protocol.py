"""The protocol: which specimens are queries and which are keys, for each stage and pairing.

It is CLIBD's (Gong et al., ICLR 2025), and beside it one for species that have no key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from hypertax.data.split import KEY_SPLITS, QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import Answering

Source = TypeVar("Source", Embeddings, Answering)
PAIRINGS = {
    "DNA to DNA": ("dna", "dna"),
    "image to image": ("image", "image"),
    "image to DNA": ("image", "dna"),
}
"""Modality of the queries and of the keys."""


def query_splits(stage: str) -> dict[str, str]:
    """The split of a stage's queries by kind of species: "seen" and "unseen".

    Raises:
        ValueError: a stage other than "val" and "test".
    """
    if stage not in QUERY_SPLITS:
        raise ValueError(f"stage must be 'val' or 'test', not {stage!r}.")
    return QUERY_SPLITS[stage]


def modalities_of(pairing: str) -> tuple[str, str]:
    """The modality of a pairing's queries and of its keys.

    Raises:
        ValueError: a pairing that does not exist.
    """
    if pairing not in PAIRINGS:
        raise ValueError(
            f"pairing must be one of {', '.join(map(repr, PAIRINGS))}, not {pairing!r}."
        )
    return PAIRINGS[pairing]


def sides(
    source: Source, of_queries: list[str], of_keys: list[str] | tuple[str, ...] = KEY_SPLITS
) -> Iterator[tuple[str, Source, Source]]:
    """Name, queries and keys of every pairing that has both.

    Args:
        source: embeddings, or a method that answers without any.
        of_queries, of_keys: names of the splits that they are taken from.
    """
    for pairing, (query_modality, key_modality) in PAIRINGS.items():
        queries = source.select(query_modality, of_queries)
        keys = source.select(key_modality, list(of_keys))
        if len(queries) and len(keys):
            yield pairing, queries, keys
