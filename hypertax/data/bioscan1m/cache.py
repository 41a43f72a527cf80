"""The specimens of a large metadata file kept as Parquet beside it, so that only the first reading
takes a minute."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hypertax.files import atomic_path, shown

FILE = "specimens.parquet"
"""Name of the file, in the data set's folder. It may be deleted at any time."""
MANY = 100_000
"""Specimens from which on a table is kept; below, reading the metadata again is as fast."""
_KEY = b"hypertax.read_from"


def key_of(files: Sequence[Path], *, sources: Sequence[Path]) -> str:
    """What a kept table was read from: size and time of change of the files, and the version of the
    code that reads them."""
    code = hashlib.sha256(
        b"".join(path.read_bytes() for path in (*sources, Path(__file__)))
    ).hexdigest()
    stats = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
    return json.dumps(
        {"files": stats, "code": code, "bioscan-dataset": version("bioscan-dataset")},
        sort_keys=True,
    )


def read(folder: Path, key: str) -> pd.DataFrame | None:
    """The table kept in a folder; None if there is none, it was read from other files, or it is
    damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        if (pq.read_schema(path).metadata or {}).get(_KEY) != key.encode():
            return None
        table = pq.read_table(path, page_checksum_verification=True)
        return pd.DataFrame(
            {name: table.column(name).to_pandas().astype("str") for name in table.column_names}
        )
    except (pa.ArrowException, OSError):
        return None


def write(specimens: pd.DataFrame, folder: Path, key: str) -> None:
    """Keep a large table; a folder that cannot be written only means that it is read anew the next
    time."""
    if len(specimens) < MANY:
        return
    table = pa.Table.from_pandas(specimens, preserve_index=False).replace_schema_metadata(
        {_KEY: key.encode()}
    )
    try:
        with atomic_path(folder / FILE) as temporary:
            pq.write_table(
                table, temporary, compression="zstd", write_page_checksum=True, row_group_size=2**17
            )
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(
            f"{shown(folder / FILE)} could not be written ({reason}): the metadata will be read"
            " again each time.",
            stacklevel=3,
        )
