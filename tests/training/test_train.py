"""Training on a handful of specimens: seeds, interruption, reuse, what a run folder holds, and that
a saved model is the same model."""

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import train_whole_and_interrupted
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from hypertax.config.run_config import RunConfig
from hypertax.data.barcodes.codes import BEYOND, BarcodeCodes, base_codes
from hypertax.data.batches import Specimens, loader, shifted
from hypertax.data.taxon_index import TaxonIndex
from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import LorentzSpace
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.training.checkpoints import TrainingInterrupted
from hypertax.training.divergence import TrainingDiverged
from hypertax.training.trainer import Trainer, train_here, unaligned

SMALL = {"epochs": 2, "batch_size": 16, "embed_dim": 16, "image_size": 32}
SPLITS = ["train_seen"] * 6 + ["seen_keys", "val_seen", "test_seen"]


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    """Two orders, four species seen and two unseen, 66 specimens; every ninth lacks its image,
    every tenth its barcode."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for s in range(6):
        bases = rng.choice(list("ACGT"), 120)
        for i in range(9 if s < 4 else 15):
            read = bases.copy()
            read[rng.integers(0, 120, 3)] = rng.choice(list("ACGT"), 3)
            path = folder / f"{s}-{i}.jpg"
            Image.fromarray(
                rng.integers(0, 40, (40, 48, 3), dtype=np.uint8) + np.uint8(30 * s)
            ).save(path)
            unseen = ("val", "test")[s % 2]
            split = (
                SPLITS[i] if s < 4 else (f"{unseen}_unseen" if i % 2 else f"{unseen}_unseen_keys")
            )
            lineage = {
                "order": f"Order{s % 2}",
                "family": f"Family{s % 2}",
                "genus": f"Genus{s % 3}{s % 2}",
                "species": f"Species{s}",
            }
            if split == "train_seen" and i == 0:
                lineage["species"], split = None, "no_split"
            n = len(rows)
            rows.append(
                {
                    "sampleid": f"S{n:03d}",
                    "image": None if n % 9 == 8 else str(path),
                    "barcode": None if n % 10 == 9 else "".join(read),
                }
                | lineage
                | {"split": split}
            )
    return pd.DataFrame(rows).astype("str").replace("None", np.nan)


def config(**parameters):
    return RunConfig.create("tiny", **{**SMALL, **parameters})


@pytest.mark.parametrize(
    "parameters",
    [
        {"space": "euclidean", "entailment": "none"},
        {"entailment": "none"},
        {"entailment": "pair"},
        {"entailment": "stacked"},
        {"entailment": "stacked", "contrastive_weight": 0.0},
        {
            "entailment": "stacked",
            "full_text": False,
            "entailment_text": "cumulative",
            "dna_image": "none",
        },
        {"entailment": "stacked", "dna_encoder": "transformer", "image_encoder": "tiny-vit"},
    ],
    ids=lambda p: "-".join(str(v) for v in p.values()),
)
def test_every_objective_trains(specimens, tmp_path, parameters):
    run = train_here(config(**parameters), specimens, output=tmp_path, progress=False)
    history = run.history
    assert list(history["epoch"]) == [0, 1, 2]
    expected = {"none": set(), "pair": {"pair_entailment"}, "stacked": {"intra", "inter"}}[
        parameters["entailment"]
    ]
    expected |= {"contrastive"} if parameters.get("contrastive_weight", 1) else set()
    assert expected == {"contrastive", "pair_entailment", "intra", "inter"} & set(history.columns)
    assert np.isfinite(history.loc[1:, ["loss", *expected]]).all().all()
    total = history.loc[1:, sorted(expected)].sum(axis=1)
    assert np.allclose(total, history.loc[1:, "loss"], rtol=1e-5), (
        "the loss is the sum of its terms"
    )
    assert ("curvature" in history) == (run.config.space == "lorentz")
    embeddings = run.embeddings()
    kept = specimens[specimens["split"] != "no_split"]
    for modality, column in (("image", "image"), ("dna", "barcode")):
        assert list(embeddings.select(modality).table["id"]) == list(
            kept.loc[kept[column].notna(), "sampleid"]
        )
    assert run.environment["best_epoch"] == history.loc[1:, "selection"].idxmax(), (
        "the best of the trained epochs"
    )


def test_same_seed_same_numbers_and_another_seed_others(specimens, tmp_path):
    runs = [
        train_here(config(seed=seed), specimens, output=tmp_path / str(i), progress=False)
        for i, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (run.history.drop(columns="seconds") for run in runs)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not np.allclose(first["selection"], other["selection"]) or not np.allclose(
        first.loc[1:, "loss"], other.loc[1:, "loss"]
    )


def test_a_finished_run_is_reused_and_a_changed_one_is_not(specimens, tmp_path):
    run = train_here(config(), specimens, output=tmp_path, progress=False)
    written = (run.folder / "model.safetensors").stat().st_mtime_ns
    again = train_here(config(), specimens, output=tmp_path, progress=False)
    assert (
        again.folder == run.folder
        and (again.folder / "model.safetensors").stat().st_mtime_ns == written
    )
    assert (
        train_here(config(entailment_weight=0.5), specimens, output=tmp_path, progress=False).folder
        != run.folder
    )
    fewer = specimens.iloc[:-1].reset_index(drop=True)
    assert train_here(config(), fewer, output=tmp_path, progress=False).folder != run.folder


@pytest.mark.parametrize("stop", [(2, 0), (1, 1)], ids=["after an epoch", "within one"])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    specimens, tmp_path, monkeypatch, stop, workers
):
    settings = config(epochs=3, batch_size=8, checkpoint_steps=1, workers=workers)
    _, resumed = train_whole_and_interrupted(settings, specimens, tmp_path, monkeypatch, stop)
    assert not list(resumed.folder.glob("checkpoint*")), "nothing is left over"


def test_curvature_is_held_or_learned(specimens, tmp_path):
    held = train_here(
        config(curvature=4.0, learn_curvature=False), specimens, output=tmp_path, progress=False
    ).history["curvature"]
    assert np.allclose(held, 4.0, rtol=1e-6)
    learned = train_here(
        config(curvature=4.0, learning_rate=0.01), specimens, output=tmp_path, progress=False
    ).history["curvature"]
    assert not np.allclose(learned, 4.0, rtol=1e-4) and learned.between(0.4, 40).all()


def test_bounds_hold_after_a_step(specimens):
    model = Trainer(config(), specimens, folder=None, data="", progress=False).model
    with torch.no_grad():
        model.log_logit_scale.fill_(10.0)
        model.space.log_curvature.fill_(10.0)
        for alpha in model.space.log_scale.values():
            alpha.fill_(3.0)
    model.clamp_()
    assert float(model.logit_scale.detach()) == pytest.approx(100, rel=1e-5)
    assert float(model.space.curvature.detach()) == pytest.approx(10, rel=1e-5)
    assert all(float(alpha.detach()) == 0 for alpha in model.space.log_scale.values())


def test_scalars_norms_and_biases_do_not_decay(specimens):
    training = Trainer(config(), specimens, folder=None, data="", progress=False)
    decayed = {
        id(p)
        for group in training.optimizer.param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    for name, parameter in training.model.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim >= 2), name


def test_a_loaded_model_embeds_the_same_and_a_new_table_too(specimens, tmp_path):
    run = train_here(config(), specimens, output=tmp_path, progress=False)
    model = HypertaxModel.from_pretrained(run.folder)
    kept = specimens[specimens["split"] != "no_split"].reset_index(drop=True)
    again, stored = embed(model, kept), run.embeddings()
    for modality in ("image", "dna"):
        assert np.allclose(
            again.select(modality).tangent, stored.select(modality).tangent, atol=1e-6
        )
    new = kept.head(5).assign(
        sampleid=[f"new{i}" for i in range(5)],
        image=np.nan,
        genus="Genusnovus",
        species=np.nan,
        split="no_split",
    )
    few = embed(model, new)
    assert few.modalities == ["dna"] and len(few.select("text", rank="genus")) == 1
    has = kept["barcode"].notna().to_numpy()[:5].sum()
    assert np.allclose(few.select("dna").tangent, stored.select("dna").tangent[:has], atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no trained model"):
        HypertaxModel.from_pretrained(tmp_path / "nothing")


def test_an_embedding_does_not_depend_on_the_batch(specimens):
    training = Trainer(config(), specimens, folder=None, data="", progress=False)
    one = embed(training.model, specimens.head(1)).select("image").tangent
    many = embed(training.model, specimens).select("image").tangent[:1]
    assert np.allclose(one, many, atol=1e-5)


def test_barcodes_and_labels_alone(specimens, tmp_path):
    table = specimens.assign(image=np.nan)
    run = train_here(config(), table, output=tmp_path, progress=False)
    assert run.embeddings().modalities == ["dna"]
    assert run.history["val_image_seen"].isna().all() and run.history["val_dna_seen"].notna().all()


def test_unaligned_is_the_model_before_training(specimens, tmp_path):
    run = unaligned(
        config(space="euclidean", entailment="none"), specimens, output=tmp_path, progress=False
    )
    assert run.name.startswith("unaligned-seed0") and list(run.history["epoch"]) == [0]
    trained = train_here(
        config(space="euclidean", entailment="none"), specimens, output=tmp_path, progress=False
    )
    assert trained.history.loc[0, "selection"] == run.history.loc[0, "selection"]


def test_a_loss_that_is_not_finite_stops_with_a_sentence(specimens, tmp_path, monkeypatch):
    training = Trainer(config(), specimens, tmp_path / "run", data="", progress=False)
    monkeypatch.setattr(
        training.step, "backward", lambda model, batch: {"loss": torch.tensor(float("nan"))}
    )
    with pytest.raises(TrainingDiverged, match="epoch 1.*learning_rate"):
        training.run()


@pytest.mark.parametrize(
    "codes", [BarcodeCodes(), BarcodeCodes(specials=2)], ids=["bases", "k-mers"]
)
def test_augmentation_is_for_training_only(specimens, codes):
    names = TaxonIndex(specimens)
    plain, augmented = (
        Specimens(specimens, names, codes, 32, augment) for augment in (False, True)
    )
    torch.manual_seed(0)
    for modality in ("image", "dna"):
        assert torch.equal(getattr(plain[0], modality), getattr(plain[0], modality))
        assert not torch.equal(getattr(augmented[0], modality), getattr(augmented[0], modality))
    assert torch.equal(
        plain[0].dna, codes(torch.from_numpy(base_codes(specimens["barcode"].head(1))))
    )


def test_a_shifted_read_loses_one_end_and_gains_nothing():
    reads = torch.from_numpy(base_codes(pd.Series(["ACGT", "ACGT", "ACGT"]), length=5))
    moved = shifted(reads, torch.tensor([1, -2, 0]))
    assert moved.tolist() == [
        [1, 2, 3, BEYOND, BEYOND],
        [BEYOND, BEYOND, 0, 1, 2],
        [0, 1, 2, 3, BEYOND],
    ]


def test_batches_cover_the_table_once_in_a_seeded_order(specimens):
    data = Specimens(specimens, TaxonIndex(specimens), None, 0)

    def order(seed):
        return torch.cat([batch.index for batch in loader(data, 16, shuffle_seed=seed)]).tolist()

    assert order(1) == order(1) != order(2)
    assert len(set(order(1))) == len(order(1)) >= len(specimens) - 7
    assert torch.cat([batch.index for batch in loader(data, 16)]).tolist() == list(
        range(len(specimens))
    )


def test_the_parts_of_a_batch_are_the_batch_and_a_start_leaves_out_the_first_ones(specimens):
    data = Specimens(specimens, TaxonIndex(specimens), None, 0)
    whole = [batch.index for batch in loader(data, 16, shuffle_seed=3)]
    parts = [
        [batch.index for batch in loader(data, 16, shuffle_seed=3, share=(i, 3))] for i in range(3)
    ]
    assert len(whole) == len(loader(data, 16, shuffle_seed=3)) == 4
    for rows, *part in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat(part), rows) and max(map(len, part)) - min(map(len, part)) <= 1
    rest = [batch.index for batch in loader(data, 16, shuffle_seed=3, start=3)]
    assert len(rest) == 1 and torch.equal(rest[0], whole[3])


def test_names_are_unique_and_lineages_point_to_them(specimens):
    names = TaxonIndex(specimens)
    assert len(set(names.texts)) == len(names.texts)
    for row, (_, specimen) in zip(names.lineage, specimens.iterrows(), strict=True):
        for taxon, rank in zip(row, ("order", "family", "genus", "species"), strict=True):
            assert (taxon == -1) == pd.isna(specimen[rank])
            if taxon >= 0:
                assert (names.taxa.loc[taxon, "rank"], names.taxa.loc[taxon, "name"]) == (
                    rank,
                    specimen[rank],
                )
    complete = specimens["species"].notna()
    first = specimens[complete].iloc[0]
    assert names.texts[names.full_text[complete.to_numpy()][0]] == " ".join(
        first[["order", "family", "genus", "species"]]
    )


def test_scales_may_begin_so_that_angles_do_not_depend_on_the_curvature():
    v = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    flat, curved = (
        LorentzSpace(("dna",), 8, 1.0),
        LorentzSpace(("dna",), 8, 4.0, scale_with_curvature=True),
    )
    x, y = (space.lift(space.tangent(v, "dna")) for space in (flat, curved))
    assert torch.allclose(2 * y, x, atol=1e-6), "sqrt(c) x is the same"
    assert torch.allclose(
        L.half_aperture(y, curved.curvature), L.half_aperture(x, flat.curvature), atol=1e-6
    )
    other = LorentzSpace(("dna",), 8, 4.0)
    assert not torch.allclose(2 * other.lift(other.tangent(v, "dna")), x, atol=1e-2)


def test_a_view_can_be_left_out(specimens, tmp_path):
    run = train_here(config(views="image"), specimens, output=tmp_path, progress=False)
    assert run.embeddings().modalities == ["image"] and "-image-seed0-" in run.name
    assert run.environment["peak_memory_mib"] > 100
    with pytest.raises(ValueError, match="views is 'dna', which no specimen"):
        train_here(
            config(views="dna"),
            specimens.assign(barcode=pd.Series(pd.NA, index=specimens.index, dtype="str")),
            output=tmp_path,
            progress=False,
        )


@pytest.mark.parametrize("cached", [True, False], ids=["kept in memory", "read each time"])
def test_a_photograph_that_cannot_be_read_is_left_out_and_listed(
    specimens, tmp_path, monkeypatch, cached
):
    monkeypatch.setattr("hypertax.data.images.CACHED", 20_000 if cached else 0)
    # One in a hundred may be unreadable, and one in any case.
    monkeypatch.setattr("hypertax.data.images.MOST_UNREADABLE", 0.5)
    table = specimens.copy()
    broken = table.index[(table["split"] == "val_unseen") & table["image"].notna()][0]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    table.loc[broken, "image"] = str(tmp_path / "broken.jpg")
    run = train_here(config(), table, output=tmp_path / "runs", progress=False)
    found = set(run.embeddings().select("image").table["id"])
    kept = table[(table["split"] != "no_split") & table["image"].notna()]
    assert found == set(kept["sampleid"]) - {table.loc[broken, "sampleid"]}
    assert (run.folder / "unreadable_images.txt").read_text() == f"{tmp_path / 'broken.jpg'}\n"


def test_an_interruption_says_what_is_saved_and_how_to_go_on(specimens, tmp_path, monkeypatch):
    """In a notebook the sentence is all that is shown; a shell's exit code is that of Ctrl-C."""
    save = Trainer.checkpoint

    def save_and_stop(self):
        save(self)
        raise KeyboardInterrupt

    def stop(self, epoch):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "checkpoint", save_and_stop)
    with pytest.raises(TrainingInterrupted) as error:
        train_here(config(epochs=3), specimens, output=tmp_path, progress=False)
    folder = next(tmp_path.glob("hyperbolic-*"))
    assert str(error.value) == (
        f"Interrupted; {folder} is saved up to epoch 1 of 3: the same cell or command goes on from"
        " there."
    )
    # Epoch 2 is trained, but interrupted before it is saved.
    monkeypatch.setattr(Trainer, "checkpoint", save)
    monkeypatch.setattr(Trainer, "validate", stop)
    with pytest.raises(TrainingInterrupted, match="saved up to epoch 1 of 3"):
        train_here(config(epochs=3), specimens, output=tmp_path, progress=False)


def test_an_interruption_before_anything_is_saved(specimens, tmp_path, monkeypatch):
    def stop(self, epoch):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "validate", stop)
    with pytest.raises(TrainingInterrupted, match="^Interrupted before .* begins again.$"):
        train_here(config(epochs=3), specimens, output=tmp_path, progress=False)


def test_a_notebook_shows_the_sentence_of_an_interruption_alone(capsys):
    shell = InteractiveShell()
    shell.user_ns["interrupt"] = TrainingInterrupted("Interrupted; saved up to epoch 1 of 3.")
    shell.run_cell("raise interrupt")
    found = capsys.readouterr()
    assert found.out + found.err == "Interrupted; saved up to epoch 1 of 3.\n"
    shell.history_manager.end_session()
