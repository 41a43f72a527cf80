"""A few specimens in BIOSCAN-1M's layout."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hypertax.data.bioscan1m.reader import METADATA, read_bioscan1m
from hypertax.data.split import SPLITS

# The columns of BIOSCAN-1M's metadata, in their order.
METADATA_HEADER = (
    "sampleid processid uri name phylum class order family subfamily tribe genus species"
    " subspecies nucraw image_file "
    "large_diptera_family medium_diptera_family small_diptera_family large_insect_order"
    " medium_insect_order small_insect_order "
    "chunk_number copyright_license copyright_holder copyright_institution copyright_contact"
    " photographer author"
)


METADATA_COLUMNS = METADATA_HEADER.split()


def record(sampleid: str, **values) -> dict:
    base = dict.fromkeys(METADATA_COLUMNS, "not_classified") | {
        "sampleid": sampleid,
        "processid": f"P-{sampleid}",
        "phylum": "Arthropoda",
        "class": "Insecta",
        "order": "Diptera",
        "nucraw": "AACATTATA",
        "image_file": f"{sampleid}.jpg",
        "chunk_number": "7",
    }
    return base | values


def write_layout(
    root: Path,
    records: list[dict],
    splits: dict[str, list[str]],
    base: str = "bioscan1m",
    metadata: str = "bioscan1m",
) -> Path:
    """BIOSCAN-1M on disk, without the records' images; `splits` gives the identifiers of each
    list."""
    partition = root / base / "CLIBD_partitioning"
    partition.mkdir(parents=True)
    for chunk in {entry["chunk_number"] for entry in records}:
        part = root / base / "images" / "cropped_256" / f"part{chunk}"
        part.mkdir(parents=True)
        (part / "an image.jpg").touch()
    pd.DataFrame(records, columns=METADATA_COLUMNS).to_csv(
        root / metadata / METADATA, sep="\t", index=False
    )
    for split in SPLITS:
        (partition / f"{split}.txt").write_text("\n".join(splits.get(split, [])) + "\n")
    return root


def small_layout(root: Path, **places) -> Path:
    """One specimen a split; the first has no species, the second a species but no genus, the third
    a long barcode in small letters."""
    records = [
        record(f"BIOUG{i}-A0{i}", family="Culicidae", genus="Aedes", species="Aedes aegypti")
        for i in range(len(SPLITS))
    ]
    records[0] |= {
        "family": "not_classified",
        "genus": "not_classified",
        "species": "not_classified",
    }
    records[1] |= {"genus": "not_classified", "chunk_number": "113"}
    records[2] |= {"nucraw": "acgt-" * 200}
    records[3] |= {"nucraw": "", "image_file": ""}
    return write_layout(
        root, records, {split: [records[i]["sampleid"]] for i, split in enumerate(SPLITS)}, **places
    )


def sentence_of(root: Path) -> str:
    with pytest.raises(ValueError, match=".") as error:
        read_bioscan1m(root)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    return str(error.value)
