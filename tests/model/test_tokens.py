"""What the encoders read, against the documented behaviour of the k-mer tokenizer and by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer

from hypertax.data.barcodes.codes import base_codes, kmer_codes
from hypertax.model.tokens import TextTokens, check_kmer_vocabulary, kmer_tokenizer

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


def test_the_tokenizer_and_the_integers_agree_on_random_reads(tmp_path):
    rng = np.random.default_rng(0)
    lengths = [0, 1, 4, 5, 6, 658, 659, 660, 661, 664, 700, *rng.integers(1, 720, 60)]
    reads = [
        "".join(rng.choice(list("ACGTNRY"), n, p=[0.24, 0.24, 0.24, 0.24, 0.02, 0.01, 0.01]))
        for n in lengths
    ]
    for specials in (2, 3, 5):
        tokenizer = kmer_tokenizer(specials)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        codes = kmers(reads, specials=specials)
        for again in (tokenizer, Tokenizer.from_file(str(tmp_path / "tokenizer.json"))):
            encoded = [encoding.ids for encoding in again.encode_batch(reads)]
            assert encoded == [row[row >= 0].tolist() for row in codes]


def test_the_tokenizers_vocabulary_is_barcodeberts():
    tokenizer = kmer_tokenizer()
    assert tokenizer.get_vocab() == {"[MASK]": 0, "[UNK]": 1, **KMERS}
    assert tokenizer.encode("ACGTATTTTTACGNACC").tokens == ["ACGTA", "TTTTT", "[UNK]"]
    assert len(tokenizer.encode("A" * 700).ids) == 132
    assert (
        kmer_tokenizer(3).token_to_id("[CLS]") == 1 and kmer_tokenizer(3).token_to_id("[UNK]") == 2
    ), "CLIBD's"


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
