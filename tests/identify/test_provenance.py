"""Answers on disk: an interrupted run goes on where it was, and gives the bytes of one that was not."""

import json

import pytest
from identify_cases import library_and_queries

from hypertax.identify import Identifier, identifier, provenance

PART = 8
WISHES = {"precision": 0.9, "rank": "species"}


@pytest.fixture(scope="module")
def made():
    library, queries = library_and_queries()
    return Identifier.train(library, progress=False), queries


@pytest.fixture()
def asked(made, monkeypatch):
    """Answers in parts of eight; `asked.parts` tells where each that was made began, and the one that
    begins at `asked.end` is interrupted."""

    class Asked:
        parts, end = [], None

        def write(self, output, **wishes):
            found = {**WISHES, **wishes}
            return provenance.write_answers(
                made[0], made[1], output, **found, parameters=found, progress=False
            )

    one, chunks = Asked(), Identifier.chunks

    def told(self, queries, *, start=0, **wishes):
        if start == one.end:
            raise KeyboardInterrupt
        one.parts.append(start)
        return chunks(self, queries, start=start, **wishes)

    monkeypatch.setattr(Identifier, "chunks", told)
    for module in (identifier, provenance):
        monkeypatch.setattr(module, "CHUNK", PART)
    return one


def test_an_interrupted_run_goes_on_where_it_was(asked, made, tmp_path):
    starts = list(range(0, len(made[1]), PART))
    assert len(starts) > 4
    asked.write(tmp_path / "whole.tsv")
    assert asked.parts == starts
    asked.parts, asked.end = [], starts[3]
    with pytest.raises(KeyboardInterrupt):
        asked.write(tmp_path / "cut.tsv")
    assert asked.parts == starts[:3] and not (tmp_path / "cut.tsv").exists()
    asked.parts, asked.end = [], None
    asked.write(tmp_path / "cut.tsv")
    assert asked.parts == starts[3:], "what was answered is not answered again"
    assert (tmp_path / "cut.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    records = [json.loads((tmp_path / f"{n}.tsv.json").read_text()) for n in ("cut", "whole")]
    for record in records:
        record.pop("seconds")
    assert records[0] == records[1]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["cut.tsv", "cut.tsv.json", "whole.tsv", "whole.tsv.json"]


def test_parts_of_another_question_are_not_taken(asked, made, tmp_path):
    asked.end = 2 * PART
    with pytest.raises(KeyboardInterrupt):
        asked.write(tmp_path / "a.tsv")
    asked.parts, asked.end = [], None
    asked.write(tmp_path / "a.tsv", precision=0.6)
    assert asked.parts[0] == 0
