"""What the encoders read of names: word pieces as integer matrices; and the k-mers of a barcode
encoder's checkpoint."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from hypertax.data.barcodes.codes import BASES, KMER_LENGTH, KMER_SPECIALS


def kmer_vocabulary(specials: int = len(KMER_SPECIALS), k: int = KMER_LENGTH) -> dict[str, int]:
    """BarcodeBERT's vocabulary, token to number (Millan Arias et al., arXiv 2311.02401).

    Special tokens come first: `[MASK]` is the first and `[UNK]` the last of them, with `[CLS]`
    between in CLIBD's. Then come all k-mers in the order of `itertools.product("ACGT")`.

    `hypertax.data.barcodes.codes.kmer_codes` reads barcodes by these numbers: k-mers with stride k;
    one with any other letter is `[UNK]`. The repositories bioscan-ml/BarcodeBERT and
    bioscan-ml/clibd fill a read with N up to 660 bases, so that what is beyond it is `[UNK]` too;
    here there is no token for it, and the encoder does not attend to it. CLIBD puts token 0 before
    every read, which is not done here.

    Args:
        specials: special tokens. k: bases of a k-mer.
    """
    first = ["[MASK]", "[CLS]", *(f"[unused{i}]" for i in range(specials))][: specials - 1]
    words = [*first, "[UNK]", *("".join(kmer) for kmer in itertools.product(BASES, repeat=k))]
    return {word: i for i, word in enumerate(words)}


def check_kmer_vocabulary(folder: Path, size: int) -> None:
    """Compare the vocabulary in a checkpoint's local folder (`tokenizer.json` or `vocab.txt`), if
    it has one, with ours.

    Args:
        folder: of the checkpoint. size: rows of its token embedding.

    Raises:
        ValueError: the vocabulary numbers a k-mer or the unknown otherwise, or the embedding is too
        small for the k-mers.
    """
    specials = size - len(BASES) ** KMER_LENGTH
    if specials < 1:
        raise ValueError(
            f"dna_encoder {str(folder)!r} has {size} tokens, too few for the"
            f" {len(BASES) ** KMER_LENGTH} {KMER_LENGTH}-mers and an unknown."
        )
    found = _own_vocabulary(folder)
    if not found:
        return
    ours = kmer_vocabulary(specials)
    unknown = next((found[name] for name in ("[UNK]", "<UNK>") if name in found), None)
    wrong = [word for word in ours if not word.startswith("[") and found.get(word) != ours[word]]
    if wrong or unknown != specials - 1:
        what = (
            f"{wrong[0]} as {found.get(wrong[0])}, not {ours[wrong[0]]}"
            if wrong
            else f"the unknown as {unknown}, not {specials - 1}"
        )
        raise ValueError(
            f"The vocabulary in dna_encoder {str(folder)!r} numbers {what}: its k-mers must come"
            " last, alphabetically, after [UNK]."
        )


def _own_vocabulary(folder: Path) -> dict[str, int]:
    if (folder / "tokenizer.json").is_file():
        return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    if (folder / "vocab.txt").is_file():
        return {
            word: i
            for i, word in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").split())
        }
    return {}


def hub_name(name: str) -> tuple[str, str | None]:
    """A checkpoint's repository and revision: `owner/name@revision` is one revision, a tag, a
    branch or a commit; None without one, and for a local folder."""
    if Path(name).is_dir() or "@" not in name:
        return name, None
    repository, _, revision = name.partition("@")
    return repository, revision


class TextTokens:
    """Names to token ids, by a tokenizer trained on the data's own names or that of a
    checkpoint."""

    def __init__(self, tokenizer, length: int = 48) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.padding = tokenizer.token_to_id("[PAD]")
        self.size = tokenizer.get_vocab_size()

    @classmethod
    def train(cls, names: list[str], size: int = 4096) -> TextTokens:
        """Byte-pair encoding learned on `names`: shared stems and endings (-idae, -ella) become
        pieces."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=["[PAD]", "[UNK]"], show_progress=False
        )
        tokenizer.train_from_iterator(sorted(set(names)), trainer)
        return cls(tokenizer)

    @classmethod
    def pretrained(cls, name: str) -> TextTokens:
        """The tokenizer of a checkpoint, from a local folder's `tokenizer.json` or the hub."""
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

        local = Path(name) / "tokenizer.json"
        if local.is_file():
            return cls(Tokenizer.from_file(str(local)))
        repository, revision = hub_name(name)
        return cls(
            AutoTokenizer.from_pretrained(
                repository,
                revision=revision or "main",
                use_fast=True,
                trust_remote_code=False,
            ).backend_tokenizer
        )

    @classmethod
    def load(cls, path: Path) -> TextTokens:
        """Read what `save` wrote."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        """Write the tokenizer as one JSON file."""
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.tokenizer.save(str(path))

    def __call__(self, names: list[str]) -> np.ndarray:
        """(N, L) int32 token ids, padded to the longest and cut at `length`."""
        if not names:
            return np.zeros((0, 1), dtype=np.int32)
        self.tokenizer.enable_truncation(self.length)
        self.tokenizer.enable_padding(pad_id=self.padding, pad_token="[PAD]")
        return np.array(
            [encoding.ids for encoding in self.tokenizer.encode_batch(names)], dtype=np.int32
        )
