"""What the encoders read, against the documented behaviour of BarcodeBERT's tokenizer and by
hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.data.barcodes.codes import base_codes, kmer_codes
from hypertax.model.tokens import TextTokens, check_kmer_vocabulary, kmer_vocabulary

KMERS = {"".join(k): i + 2 for i, k in enumerate(itertools.product("ACGT", repeat=5))}


def kmers(reads, **options):
    return kmer_codes(torch.from_numpy(base_codes(pd.Series(reads))), **options)


def test_base_codes_by_hand():
    codes = base_codes(pd.Series(["ACGTNR", None, "TTTTTTTTTT"]), length=8)
    assert codes.tolist() == [[0, 1, 2, 3, 4, 4, 5, 5], [5] * 8, [3] * 8]


def test_kmers_are_five_bases_with_stride_five_in_alphabetical_order():
    read = "ACGTA" + "TTTTT" + "AAAAA" + "ACGNA" + "CCC"
    tokens = kmers([read])[0]
    assert len(tokens) == 132
    assert tokens[:4].tolist() == [KMERS["ACGTA"], KMERS["TTTTT"], KMERS["AAAAA"], 1], (
        "a k-mer with another letter is unknown"
    )
    assert (tokens[4:] == -1).all(), "an incomplete k-mer and what is beyond the read are padding"


def test_long_reads_are_cut_at_660_bases():
    tokens = kmers(["A" * 700, None])
    assert (tokens[0] == KMERS["AAAAA"]).all() and (tokens[1] == -1).all()


def test_specials_shift_the_kmers():
    assert kmers(["AAAAANNNNN"], specials=6)[0, :2].tolist() == [6, 5]


def literal_tokens(read, vocabulary):
    """Numbers of the whole k-mers in the first 660 bases; any other letter makes one unknown."""
    read = read[:660]
    words = [read[i : i + 5] for i in range(0, len(read) - 4, 5)]
    return [vocabulary.get(word, vocabulary["[UNK]"]) for word in words]


def test_the_vocabulary_and_the_integers_agree_on_random_reads():
    rng = np.random.default_rng(0)
    lengths = [0, 1, 4, 5, 6, 658, 659, 660, 661, 664, 700, *rng.integers(1, 720, 60)]
    reads = [
        "".join(rng.choice(list("ACGTNRY"), n, p=[0.24, 0.24, 0.24, 0.24, 0.02, 0.01, 0.01]))
        for n in lengths
    ]
    for specials in (2, 3, 5):
        vocabulary = kmer_vocabulary(specials)
        codes = kmers(reads, specials=specials)
        encoded = [literal_tokens(read, vocabulary) for read in reads]
        assert encoded == [row[row >= 0].tolist() for row in codes]


def test_the_vocabulary_is_barcodeberts():
    vocabulary = kmer_vocabulary()
    assert vocabulary == {"[MASK]": 0, "[UNK]": 1, **KMERS}
    assert list(vocabulary.values()) == list(range(2 + 4**5))
    clibd = kmer_vocabulary(3)
    assert clibd["[CLS]"] == 1 and clibd["[UNK]"] == 2, "CLIBD's"


def test_a_vocabulary_too_small_for_the_kmers_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="has 1024 tokens, too few for the 1024 5-mers and an unknown"
    ):
        check_kmer_vocabulary(tmp_path, 1024)


def test_text_tokens_survive_saving(tmp_path):
    names = ["Diptera Chironomidae", "Diptera", "Lepidoptera Noctuidae Agrotis"]
    tokens = TextTokens.train(names)
    before = tokens(names)
    tokens.save(tmp_path / "tokenizer.json")
    assert np.array_equal(TextTokens.load(tmp_path / "tokenizer.json")(names), before)
    assert (before != tokens.padding).sum(axis=1).tolist() == [2, 1, 3], (
        "a frequent name is one token"
    )
    assert tokens(["Coleoptera"]).shape[0] == 1 and tokens([]).shape[0] == 0
