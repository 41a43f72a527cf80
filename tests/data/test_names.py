"""Names of taxa: one species however it is written, and none where the text names none."""

from __future__ import annotations

import sys

import pytest

from hypertax.data import names
from hypertax.data.names import Name, higher_name, species_of, usual_cases

KNOWN = {"Aedes", "Culicidae", "Diptera"}


@pytest.mark.parametrize(
    "text",
    [
        "Aedes aegypti",
        "aedes aegypti",
        "AEDES AEGYPTI",
        "AEDES (STEGOMYIA) AEGYPTI",
        "Aedes Aegypti Linnaeus, 1762",
        "Aedes aegypti (Linnaeus, 1762)",
        "Aedes aegypti, Linnaeus",
        "Aedes aegypti (Smith & Jones)",
        "Aedes (Stegomyia) aegypti",
        "Aedes(Stegomyia) aegypti",
        "Aedes [Stegomyia] aegypti",
        "Aedes_aegypti",
        "\u201cAedes aegypti\u201d",
        "Aedes 'aegypti'",
        "<i>Aedes aegypti</i>",
        "Aedes\u00a0\u2009aegypti",
        "Aedes aegypti formosus",
        "Aedes aegypti ssp. formosus Walker, 1848",
        "Aedes aegypti cf. formosus",
        "Aedes aegypti s.l.",
        "Aedes aegypti sensu Edwards",
        "Aedes aegypti comb. nov.",
        "Aedes aegypti BOLD:AAA1234",
        "A. aegypti",
        "aegypti",
        "aegypti (L.)",
        "AEGYPTI",
        "Aedes ægypti",
    ],
)
def test_one_species_however_it_is_written(text):
    assert species_of(text, "Aedes", known=KNOWN) == Name("Aedes aegypti", "Aedes", kind="species")


@pytest.mark.parametrize(
    "text",
    [
        *("Aedes", "Aedes sp.", "Aedes SP.", "Aedes sp. nov.", "Aedes n. sp.", "Aedes sp.n."),
        *("Aedes sp. indet.", "Aedes (Stegomyia) sp.", "Aedes spec.", "Aedes species", "sp."),
        *("Aedes sp.?", "Aedes sp. 1", "Aedes sp1", "Aedes sp-A", "Aedes sp. 2010", "Aedes spp."),
        *("Aedes undetermined", "Aedes indet.", "Aedes unknown", "Aedes nan", "Aedes larva"),
        *("Aedes cf. aegypti", "Aedes (cf.) aegypti", "Aedes aff. aegypti", "Aedes nr aegypti"),
        *("Aedes near aegypti", "Aedes sp. near aegypti", "Aedes gr. aegypti", "cf. aegypti"),
        *("Aedes aegypti?", "Aedes ?aegypti", "Aedes possibly aegypti", "Aedes prob. aegypti"),
        *("Aedes aegypti/albopictus", "Aedes aegypti / Aedes albopictus", "Aedes hybrid"),
        *("Aedes aegypti x albopictus", "Aedes x aegypti", "Aedes aegypti or albopictus"),
        *("Aedes aegypti & Aedes albopictus", "Aedes aegypti, A. albopictus"),
        *("Aedes aegypti complex", "Aedes aegypti group", "Aedes aegypti agg."),
        *("uncultured Aedes", "Aedes environmental sample", "Aedes (Stegomyia)"),
    ],
)
def test_no_species_but_the_genus(text):
    assert species_of(text, "Aedes", known=KNOWN) == Name(genus="Aedes")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Culicidae sp.", Name(family="Culicidae")),
        ("Diptera gen. sp.", Name(order="Diptera")),
        ("Diptera environmental sample", Name(order="Diptera")),
        ("Culicinae sp.", Name()),
        ("environmental sample", Name()),
        ("uncultured insect", Name()),
        ("?Aedes aegypti", Name()),
    ],
)
def test_the_higher_taxon_that_is_told(text, told):
    assert species_of(text) == told


@pytest.mark.parametrize(
    ("text", "species"),
    [
        ("Aedes sp. BOLD:AAA1234", "Aedes sp. BOLD:AAA1234"),
        ("Aedes BOLD:AAA1234", "Aedes sp. BOLD:AAA1234"),
        ("AEDES SP. BOLD:AAA1234", "Aedes sp. BOLD:AAA1234"),
        ("bold:aaa1234", "BOLD:AAA1234"),
        ("Aedes sp. ABC123", "Aedes sp. ABC123"),
        ("Aedes sp. nov. ABC123", "Aedes sp. ABC123"),
        ("Aedes aegyptiDHJ01", "Aedes aegyptiDHJ01"),
        ("Culicidae gen. sp. BOLD:AAA1234", "Culicidae sp. BOLD:AAA1234"),
    ],
)
def test_a_code_of_letters_and_digits_stands_for_a_species(text, species):
    found = species_of(text, "Aedes", known=KNOWN)
    assert (found.species, found.kind) == (species, "interim")
    assert species_of("Aedes cf. aegypti BOLD:AAA1234").species is None


def test_a_filled_label_that_is_no_name_stays():
    assert species_of("mosquito") == Name("mosquito", kind="kept")
    assert species_of("A. aegypti") == Name("A. aegypti", kind="kept")


def test_a_capital_epithet_is_told_from_an_author_by_the_other_names():
    capital = species_of("Aedes Aegypti", "Aedes")
    assert capital == Name("Aedes Aegypti", "Aedes", kind="kept")
    assert usual_cases([capital]) == {}
    assert usual_cases([capital, species_of("Aedes aegypti L.")]) == {
        "Aedes Aegypti": "Aedes aegypti"
    }


@pytest.mark.parametrize("genus", ["Nan", "Na", "None", "Null"])
def test_a_genus_may_look_like_missing(genus):
    assert species_of(f"{genus} alba", genus).species == f"{genus} alba"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("aedes", "Aedes"), ("AEDES", "Aedes"), ("Aedes Meigen, 1818", "Aedes")),
        *(("Aedes (Stegomyia)", "Aedes"), ("Aedes sp.", "Aedes"), ("Aedes?", "Aedes")),
        *(("genus_12", "genus_12"), ("G", "G"), ("McA", "McA")),
    ],
)
def test_higher_names(text, name):
    assert higher_name(text) == name


def test_without_the_parser_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nameparser", None)
    names._parser.cache_clear()
    with pytest.raises(ValueError, match=r"gbif-name-parser, which is not installed: .*\.$"):
        species_of("Aedes aegypti")
    names._parser.cache_clear()
