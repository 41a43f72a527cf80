"""The object for people's own code: a library, a space and a calibration that identify specimens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
from huggingface_hub import ModelCard, ModelHubMixin

from hypertax.data.progress import progress_bar
from hypertax.files import write_text
from hypertax.identify.answering import Answering
from hypertax.identify.calibration import Calibration
from hypertax.identify.card import downloaded, model_card
from hypertax.identify.embedding import START_NAME, DnaEmbedder
from hypertax.identify.evidence import Searcher
from hypertax.identify.flags import coding_frame
from hypertax.identify.holding_out import calibrated, chosen_weight
from hypertax.identify.reference import Library
from hypertax.identify.views import IMAGE_WEIGHTS
from hypertax.taxonomy import RANKS

CHUNK = 4096
"""Queries that are answered at a time; a million stays in bounded memory."""
PRECISION = 0.95
FORMAT = 3


class Identifier(ModelHubMixin):
    """Names specimens by a library of references.

    With huggingface_hub's mixin it is also read from and published to a hub: `from_pretrained` takes
    a folder, or a name there and a `revision`; `push_to_hub` uploads it with a card. No code comes
    from a hub.

        identifier = Identifier.train(read_specimens("library.tsv"))
        answers = identifier.identify(read_specimens("queries.fasta"))
        identifier.save("library.hypertax")

    Args:
        embedder: makes vectors of specimens: a `DnaEmbedder` or a `ModelEmbedder`.
        library: the references.
        calibrations: by what of a specimen speaks; made anew where they are not given.
        image_weight: what photographs are worth beside barcodes; chosen on the library where it is
            not given.
    """

    # The mixin would copy the arguments into a configuration; identifier.json holds what is needed.
    _hub_mixin_config: ClassVar[dict] = {}

    def __init__(
        self,
        embedder,
        library: Library,
        calibrations: dict[str, Calibration] | None = None,
        image_weight: float | None = None,
    ) -> None:
        self.embedder, self.library = embedder, library
        self.searcher = Searcher(library.table)
        both = {"dna", "image"} <= set(library.vectors)
        if image_weight is None:
            image_weight = chosen_weight(self.searcher, library) if both else IMAGE_WEIGHTS[0]
        self.image_weight = image_weight
        views = ["image+dna"] if both else []
        self.calibrations = calibrations or {
            view: calibrated(self.searcher, library, view, image_weight)
            for view in (*library.vectors, *views)
        }
        self._answering = Answering(
            embedder,
            library,
            self.searcher,
            self.calibrations,
            image_weight,
            coding_frame(library.codes),
        )

    @property
    def note(self) -> str:
        """Why there are no probabilities for some specimens, "" where all have them."""
        return next((one.note for one in self.calibrations.values() if one.note), "")

    @classmethod
    def train(
        cls, library: pd.DataFrame, *, model=None, profile=None, progress: bool = True
    ) -> Identifier:
        """An identifier of a library: of its own DNA start, or in the space of a model.

        Args:
            library: a table of specimens with names, columns of `hypertax.data.load_specimens`; `split` may be
                missing; `bin_uri` and `trained` ("yes" where the model was trained on it) may be there.
            model: a trained `HypertaxModel`, None for the start.
            profile: of the marker (`hypertax.data.barcodes.Profile`) for the start; made of the library without
                one.
        """
        if model is None:
            embedder = DnaEmbedder.fit(library, progress, profile)
        else:
            from hypertax.identify.model_embedding import ModelEmbedder

            embedder = ModelEmbedder(model)
        return cls(embedder, Library.of(library, embedder, progress))

    def add(self, reference: pd.DataFrame, *, progress: bool = True) -> Identifier:
        """An identifier with further references; the space stays, the calibration is made anew.

        Args:
            reference: a table as `train` takes it.
        """
        further = Library.of(reference, self.embedder, progress)
        return Identifier(self.embedder, self.library.joined(further))

    def within(self, taxon: str) -> Identifier:
        """An identifier by the references of one taxon alone, calibrated on them; see `Library.within`."""
        return Identifier(self.embedder, self.library.within(taxon))

    def identify(
        self,
        queries: pd.DataFrame,
        *,
        precision: float = PRECISION,
        rank: str = "species",
        progress: bool = True,
    ) -> pd.DataFrame:
        """Answers, one row a query, in the order given, none missing.

        Args:
            queries: N specimens, columns `sampleid`, `barcode` and `image`, NA where there is none; and
                `remarks`, why a record could not be read, where there are such records.
            precision: the share of answers at each rank that shall be right.
            rank: the deepest rank to answer.

        Returns:
            N rows, columns `ANSWER_COLUMNS`.

        Raises:
            ValueError: an impossible precision or rank.
        """
        parts = list(self.chunks(queries, precision=precision, rank=rank, progress=progress))
        return pd.concat(parts, ignore_index=True)

    def chunks(
        self,
        queries: pd.DataFrame,
        *,
        precision: float = PRECISION,
        rank: str = "species",
        start: int = 0,
        progress: bool = True,
    ) -> Iterator[pd.DataFrame]:
        """Answers of `CHUNK` queries at a time, from the query `start` on; see `identify`."""
        check_wishes(precision, rank)
        twice = queries["sampleid"].duplicated(keep=False).to_numpy()
        bar = progress_bar(
            total=len(queries),
            initial=start,
            desc="identifying",
            unit=" specimens",
            leave=False,
            disable=not progress or len(queries) < 2 * CHUNK,
            mininterval=1,
        )
        with bar:
            for first in range(start, max(len(queries), start + 1), CHUNK):
                part = queries.iloc[first : first + CHUNK].reset_index(drop=True)
                rows = twice[first : first + CHUNK]
                yield self._answering.answers(part, precision, rank, rows)
                bar.update(len(part))

    def thresholds(self, precision: float) -> dict[str, dict[str, float]]:
        """By what speaks the least probability of an answer at each rank; see `Calibration.thresholds`."""
        return {view: one.thresholds(precision)[0] for view, one in self.calibrations.items()}

    def save(self, folder: str | Path) -> Path:
        """Write the identifier into a folder; `from_pretrained` reads it."""
        folder = Path(folder)
        self.library.save(folder)
        self.embedder.save(folder)
        for view, one in self.calibrations.items():
            if len(one.held_out):
                one.held_out.to_parquet(folder / f"held_out-{view}.parquet")
        about = {
            "format": FORMAT,
            "embedder": self.embedder.name,
            "library": self.library.fingerprint(),
            "references": len(self.library),
            "image_weight": self.image_weight,
            "calibrations": {view: one.to_dict() for view, one in self.calibrations.items()},
        }
        write_text(folder / "identifier.json", json.dumps(about, indent=1) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Identifier:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder holds no identifier, or one of another format.
        """
        folder = Path(folder)
        if not (folder / "identifier.json").is_file():
            raise ValueError(f"{folder} holds no identifier: identifier.json is missing.")
        about = json.loads((folder / "identifier.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT:
            raise ValueError(f"{folder} was written by another version: make it again.")
        calibrations = {}
        for view, one in about["calibrations"].items():
            path = folder / f"held_out-{view}.parquet"
            held_out = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
            calibrations[view] = Calibration(held_out=held_out, **one)
        if about["embedder"] == START_NAME:
            embedder = DnaEmbedder.load(folder)
        else:
            from hypertax.identify.model_embedding import ModelEmbedder

            embedder = ModelEmbedder.load(folder)
        return cls(embedder, Library.load(folder), calibrations, about["image_weight"])

    def generate_model_card(self, **about) -> ModelCard:
        """The card of `card.model_card`; `push_to_hub` takes its arguments as `model_card_kwargs`."""
        return model_card(self, **about)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(save_directory)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> Identifier:
        """Read an identifier from a folder, or by its name from a hub.

        Args:
            name: a folder, or OWNER/NAME. revision: a branch, tag or commit of the hub; the others as in
                `huggingface_hub.snapshot_download`.

        Raises:
            ValueError: there is none, or one of another format (one sentence).
        """
        folder = Path(name).expanduser()
        if not folder.is_dir():
            folder = downloaded(
                str(name),
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return cls.load(folder)


def check_wishes(precision: float, rank: str) -> None:
    """Refuse an impossible precision or rank.

    Raises:
        ValueError: one sentence.
    """
    if not 0.5 <= precision < 1:
        raise ValueError(f"precision must be from 0.5 to below 1, not {precision}.")
    if rank not in RANKS:
        raise ValueError(f"rank must be one of {', '.join(RANKS)}, not {rank!r}.")
