"""Barcodes at the columns of a profile: whatever a read begins with, whichever strand it is of, and
what is none of the marker."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hypertax.data.barcodes import alignment
from hypertax.data.barcodes.alignment import AlignedReads, Profile, align, align_cached, equal_share
from hypertax.data.barcodes.codes import BEYOND, UNKNOWN
from hypertax.data.barcodes.strand import reverse_complement, strand_of

COLUMNS = 600


def marker(count=30, length=COLUMNS, seed=0, share=0.25):
    """Barcodes of `count` species of one marker, one each, all of one length."""
    rng = np.random.default_rng(seed)
    ancestor = rng.choice(list("ACGT"), length)
    changes = rng.random((count, length)) < share
    return ["".join(np.where(own, rng.choice(list("ACGT"), length), ancestor)) for own in changes]


@pytest.fixture(scope="module")
def reads():
    return marker()


@pytest.fixture(scope="module")
def profile(reads):
    return Profile.build(reads, [f"s{i}" for i in range(len(reads))])


def bases(codes):
    return "".join("ACGTN-"[code] for code in codes)


def inner(codes):
    """The bases but for six at either end: a rare base there is left out of a local alignment."""
    return bases(codes)[6:-6]


def test_reads_that_begin_together_stand_as_they_are(profile, reads):
    found = align(profile, reads)
    assert profile.columns == COLUMNS and found.aligned.all()
    assert [inner(row) for row in found.codes] == [read[6:-6] for read in reads]
    assert not found.reversed.any() and (found.inserted == 0).all()
    assert (found.begin <= 6).all() and (found.end >= COLUMNS - 6).all()


def test_the_same_reads_give_the_same_profile(profile, reads):
    again = Profile.build(reads, [f"s{i}" for i in range(len(reads))])
    assert again.to_bytes() == profile.to_bytes()
    loaded = Profile.from_bytes(profile.to_bytes())
    assert loaded.fingerprint == profile.fingerprint
    assert np.array_equal(align(loaded, reads[:4]).codes, align(profile, reads[:4]).codes)


@pytest.mark.parametrize("content", [b"", b"HMMER", b"\0" * 100, b"HMMER3/f [3.4]\nNAME x\n//\n"])
def test_a_broken_profile_is_refused(content):
    with pytest.raises(ValueError, match="is not a profile"):
        Profile.from_bytes(content)


def test_a_reverse_complement_is_turned(profile, reads):
    turned = [reverse_complement(read) if i % 2 else read for i, read in enumerate(reads)]
    found = align(profile, turned)
    assert found.reversed.tolist() == [i % 2 == 1 for i in range(len(reads))]
    assert [inner(row) for row in found.codes] == [read[6:-6] for read in reads]


def test_short_and_long_reads_get_their_own_columns(profile, reads):
    rng = np.random.default_rng(1)
    left, right = ("".join(rng.choice(list("ACGT"), n)) for n in (400, 500))
    found = align(profile, [reads[0][200:330], left + reads[1] + right, reads[2][:80]])
    assert found.aligned.all()
    within = bases(found.codes[0])
    assert within[205:325] == reads[0][205:325] and set(within[:195] + within[335:]) == {"-"}
    # Next to what is foreign a base or two may be taken for part of it.
    assert bases(found.codes[1])[5:-5] == reads[1][5:-5]
    assert found.end[2] <= 82


def test_bases_between_columns_are_counted_and_missing_ones_are_gaps(profile, reads):
    longer = reads[0][:300] + "ACG" + reads[0][300:]
    shorter = reads[1][:300] + reads[1][304:]
    found = align(profile, [longer, shorter])
    assert found.inserted.tolist() == [3, 0]
    assert (found.codes[1][6:-6] == BEYOND).sum() == 4
    assert bases(found.codes[0])[6:290] == reads[0][6:290]
    assert bases(found.codes[1])[-290:-6] == reads[1][-290:-6]


def test_another_marker_is_not_aligned(profile, reads):
    rng = np.random.default_rng(2)
    foreign = marker(3, seed=5)
    shuffled = ["".join(rng.permutation(list(read))) for read in reads[:5]]
    found = align(profile, [*foreign, *shuffled])
    assert not found.aligned.any() and (found.codes == BEYOND).all()
    assert (found.score < alignment.LEAST_BITS).all()


def test_what_is_no_read_is_not_aligned(profile, reads):
    found = align(profile, [None, "", "N" * 500, "ACGT", reads[0]])
    assert found.aligned.tolist() == [False] * 4 + [True]
    assert len(align(profile, []).codes) == 0


def test_letters_that_are_no_bases_are_unknown(profile, reads):
    found = align(profile, [reads[0][:100] + "RYN*" + reads[0][104:]])
    assert (found.codes[0, 100:104] == UNKNOWN).all()


def test_identical_reads_are_aligned_once(profile, reads, monkeypatch):
    asked = []
    block = alignment.align_block

    def counted(hmm, part):
        asked.extend(part)
        return block(hmm, part)

    monkeypatch.setattr(alignment, "align_block", counted)
    found = align(profile, [reads[0], reads[1], reads[0], reads[0]])
    assert sorted(asked) == sorted(reads[:2])
    assert np.array_equal(found.codes[0], found.codes[3])


@pytest.mark.parametrize("seed", [0, 1])
def test_reads_that_begin_anywhere_are_aligned_by_famsa(seed):
    """As in a trap's catch: windows of the marker, a fifth on the other strand."""
    rng = np.random.default_rng(seed)
    whole = marker(120, seed=seed)
    starts = rng.integers(0, 250, len(whole))
    windows = [r[s : s + rng.integers(250, 350)] for r, s in zip(whole, starts, strict=True)]
    turned = rng.random(len(whole)) < 0.2
    given = [reverse_complement(w) if t else w for w, t in zip(windows, turned, strict=True)]
    profile = Profile.build(given, [f"s{i}" for i in range(len(given))])
    found = align(profile, given)
    assert profile.columns >= 480 and found.aligned.all()
    # All on the strand that most are of.
    assert np.array_equal(found.reversed, turned)
    aligned = (found.codes != BEYOND).sum(axis=1)
    assert (aligned / [len(window) for window in windows]).mean() > 0.97
    # A place of the marker is one column, wherever a read begins, but for a few gaps too many.
    offsets = (found.begin - starts)[starts > 60]
    assert (np.abs(offsets - np.median(offsets)) <= 10).mean() > 0.95
    assert offsets.std() < 0.1 * starts.std()


def test_a_marker_with_indels_is_aligned():
    """As of ribosomal spacers, whose length differs between species."""
    rng = np.random.default_rng(3)
    ancestor = list(marker(1, 400, seed=3)[0])
    family = []
    for _ in range(60):
        own = ancestor.copy()
        for place in rng.choice(380, 3, replace=False):
            more = "".join(rng.choice(list("ACGT"), 4))
            own[place] = "" if rng.random() < 0.5 else own[place] + more
        for place in rng.choice(400, 40, replace=False):
            own[place] = own[place] and str(rng.choice(list("ACGT")))
        family.append("".join(own))
    profile = Profile.build(family, [f"s{i}" for i in range(60)])
    found = align(profile, family)
    assert found.aligned.all() and 380 <= profile.columns <= 430
    # Equal columns hold the same place: most bases agree between any two species.
    assert equal_share(found.codes, found.codes).min() > 0.75


def test_what_is_kept_is_what_is_computed(profile, reads, tmp_path, monkeypatch):
    given = [*reads[:5], None, reverse_complement(reads[5]), "ACGT" * 120]
    fresh = align(profile, given)
    first = align_cached(profile, given[:3], folder=tmp_path)
    assert np.array_equal(first.codes, fresh.codes[:3])
    align_cached(profile, given, folder=tmp_path)
    monkeypatch.setattr(alignment, "align_block", None)
    again = align_cached(profile, given, folder=tmp_path)
    for name, value in vars(fresh).items():
        assert np.array_equal(getattr(again, name), value), name


@pytest.mark.parametrize("damage", [b"", b"x" * 100])
def test_a_broken_file_is_made_again(profile, reads, tmp_path, damage):
    fresh = align_cached(profile, reads[:4], folder=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage)
    again = align_cached(profile, reads[:4], folder=tmp_path)
    assert np.array_equal(again.codes, fresh.codes) and again.aligned.all()
    assert len(file.read_bytes()) > 1000


@pytest.mark.parametrize("damage", ["another array", "an array less", "a short array"])
def test_a_file_of_another_form_is_made_again(profile, reads, tmp_path, damage):
    fresh = align_cached(profile, reads[:4], folder=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    content = load_file(file)
    if damage == "another array":
        content["more"] = np.zeros(4)
    elif damage == "an array less":
        del content["score"]
    else:
        content["score"] = content["score"][:2].copy()
    save_file(content, file)
    again = align_cached(profile, reads[:4], folder=tmp_path)
    for name, value in vars(fresh).items():
        assert np.array_equal(getattr(again, name), value), name


def test_too_short_for_a_profile():
    with pytest.raises(ValueError, match="No training barcode has 100 bases"):
        Profile.build(["ACGT" * 10], ["s"])


def test_most_barcodes_decide_the_strand(reads):
    turned = [reverse_complement(read) if i < 8 else read for i, read in enumerate(reads)]
    assert strand_of(turned).tolist() == [i < 8 for i in range(len(reads))]


def test_share_of_equal_bases_by_hand():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 6, (n, 40)).astype(np.uint8) for n in (7, 5))
    a[0] = BEYOND
    found = equal_share(a, b)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            both = [(p, q) for p, q in zip(x, y, strict=True) if p < 4 and q < 4]
            expected = sum(p == q for p, q in both) / len(both) if both else 0
            assert found[i, j] == pytest.approx(expected)


def test_taking_some_reads(profile, reads):
    found = align(profile, reads[:5])
    assert isinstance(found.take(np.array([4, 0])), AlignedReads)
    assert np.array_equal(found.take(np.array([4, 0])).codes, found.codes[[4, 0]])


def test_real_barcodes_are_aligned(shared_data):
    from hypertax.data import load_specimens

    table = load_specimens(str(shared_data / "insect1k" / "insect1k.tsv.gz"))
    table = table[table["split"] == "train_seen"]
    profile = Profile.build(table["barcode"].tolist(), table["species"].tolist())
    found = align(profile, table["barcode"].iloc[::40].tolist())
    assert profile.columns == 658
    assert found.aligned.all() and np.median(found.score) > 1
    # One of the 7,262 is of the other strand, and among these.
    assert found.reversed.sum() == 1
