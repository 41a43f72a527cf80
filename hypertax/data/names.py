"""Names of taxa however they are written: GBIF's name parser, and rules for what it leaves open.

docs/how-to/own-specimens.md states the rules for people.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Container
from functools import cache
from types import ModuleType
from typing import NamedTuple

# Words that say what kind of thing a name is: none of them is an epithet.
_UNNAMED = frozenset(
    "sp spp spec specie species ssp subsp n nov new gen genus indet undet undetermined"
    " unidentified unknown unnamed undescribed uncultured unclassified unassigned environmental"
    " morphospecies morphosp morphotype otu motu bin nan na none null adult larva larvae pupa nymph"
    " juvenile male female egg worker damaged".split()
)
_UNSURE = frozenset("cf cfr conf aff affin nr near prope gr prob probably poss possibly".split())
_SEVERAL = frozenset("hybrid hyb hybr complex cplx group grp agg aggr aggregate x ×".split())
_NOTHING = frozenset(
    "uncultured environmental unidentified unknown unclassified undetermined unassigned no not"
    " metagenome sample insect insects arthropod".split()
)
ORDERS = frozenset(
    "Archaeognatha Blattodea Coleoptera Collembola Dermaptera Diplura Diptera Embioptera"
    " Ephemeroptera Grylloblattodea Hemiptera Hymenoptera Isoptera Lepidoptera Mantodea"
    " Mantophasmatodea Mecoptera Megaloptera Neuroptera Notoptera Odonata Orthoptera Phasmatodea"
    " Phasmida Phthiraptera Plecoptera Protura Psocodea Psocoptera Raphidioptera Siphonaptera"
    " Strepsiptera Thysanoptera Thysanura Trichoptera Zoraptera Zygentoma Araneae Entomobryomorpha"
    " Poduromorpha Symphypleona Sarcoptiformes Trombidiformes Mesostigmata Ixodida".split()
)
"""Orders of insects and of what is caught with them, to tell "Diptera sp." from a genus."""
_HIGHER = re.compile(r"[A-Z][a-z]+(?:inae|oidea)|Insecta|Arthropoda|Hexapoda|Animalia|Arachnida")
_SPECIES_RANKS = {
    *("species", "subspecies", "variety", "form", "forma", "infraspecificname", "unranked"),
    *("infraspecies", "subsp", "ssp", "var", "sp", "aberration", "morph"),
}
_LIGATURES = str.maketrans({"æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe"})
_CODE = re.compile(r"(?=\S*[A-Za-z])(?=\S*\d)[A-Za-z0-9][\w:.#-]*")
_BIN = re.compile(r"\bBOLD\s*:\s*([A-Z]{3}\d{4})\b", re.IGNORECASE)


class Name(NamedTuple):
    """What a text says: names (None where it tells none), and how.

    `kind` is "species", "interim" (a code that stands for one species), "none" (no species: at
    most a genus or a higher taxon), or "kept" (no scientific name, left as it is written).
    """

    species: str | None = None
    genus: str | None = None
    family: str | None = None
    order: str | None = None
    kind: str = "none"


def species_of(
    text: str, genus: str | None = None, *, known: Container[str] = (), column: bool = True
) -> Name:
    """The one species that a text names, however it is written.

    Args:
        text: of a column of species, or a scientific name.
        genus: the genus that the table gives the row.
        known: genera and higher taxa of the table, to tell a lone "Aedes" from an epithet.
        column: the text stands in a column of species, where the second word is rarely an author.
    """
    words = _binomial(_plain(text), genus, known, column)
    if not words or words[0].startswith("?"):
        return Name(genus=genus)
    if len(words) == 1:
        return _single(words[0], text, genus, known)
    if column and len(words) == 2 and _is_a_capital_epithet(words):
        # An author or an epithet: only the rest of the table can tell; see `usual_cases`.
        return _told(words[0])._replace(species=" ".join(words), kind="kept")
    second = words[1].strip(".?").casefold()
    if _several_species(words):
        return _told(words[0])
    if re.fullmatch(r"[A-Z][a-z]{0,2}\.", words[0]):
        # The genus is not known.
        return Name(text, genus, kind="kept")
    if interim := _interim(words):
        return interim
    if second in _UNNAMED | _UNSURE or not second:
        return _told(words[0], words[1:])
    if words[0].casefold() in _NOTHING:
        return _told(words[0], words[1:])
    if not words[0].endswith(".") and _numbered(second):
        return _told(words[0])
    return _parsed(" ".join(words), text, words[0])


def usual_cases(names: Collection[Name]) -> dict[str, str]:
    """Which species written as "Aedes Aegypti" are the "Aedes aegypti" of other names."""
    usual = {name.species for name in names if name.kind == "species"}
    kept = {name.species for name in names if name.kind == "kept" and name.species}
    return {text: text.capitalize() for text in kept if text.capitalize() in usual}


def is_of_a_species(rank: str | None) -> bool:
    """Whether a name of this rank (a cell of `taxonRank`) names a species."""
    return rank is None or re.sub(r"[^a-z]", "", rank.lower()) in _SPECIES_RANKS


def higher_name(text: str) -> str:
    """A genus, family or order: without author, subgenus, marks and doubts, in usual case.

    A text that is no such name is left as it is written, but for invisible characters.
    """
    plain = _plain(text)
    if re.search(r"\d", re.sub(r"\b\d{4}\b", "", plain)) or not plain:
        # A label of one's own, such as genus_12.
        return text
    words = re.sub(r"\s*\([^)]*\)", "", plain).split() or plain.split()
    first = words[0].rstrip("?,;")
    if not re.fullmatch(r"[^\W\d_]+(?:-[^\W\d_]+)?", first) or first.casefold() in _NOTHING:
        return text
    usual = first.capitalize() if first.isupper() or first.islower() else first
    if len(words) == 1:
        return usual if len(first) > 1 else first
    if words[1].strip(".?").casefold() in _UNNAMED | _UNSURE or words[1] == "?":
        return usual
    try:
        found = _parser().parse(" ".join([usual, *words[1:]]))
    except _parser().UnparsableNameError:
        return text
    told = getattr(found, "uninomial", None) or getattr(found, "genus", None)
    return told if told == usual else text


def _plain(text: str) -> str:
    """One line without markup, quotes, question marks that stand alone, and underscores."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"</?[a-zA-Z]{1,6}\s*/?>", "", text).replace("_", " ")
    text = re.sub("[\"“”„«»`*†‡]|(?<!\\w)['’‘]|['’‘](?!\\w)", "", text)
    text = text.replace("’", "'")
    text = re.sub(r"\[([A-Z][a-z-]+)\]", r"(\1)", text)
    text = re.sub(r"(?<=\w)\(", " (", text)
    text = text.translate(_LIGATURES)
    text = re.sub(r"\((cf|aff|nr|sp|\?)\.?\)", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(sp|spp|cf|aff|nr)[.#-](?=\w)", r"\1. ", text, flags=re.IGNORECASE)
    text = _BIN.sub(lambda found: f"BOLD:{found[1].upper()}", text)
    return " ".join(text.split()).strip(" ,;:")


def _binomial(text: str, genus: str | None, known: Container[str], column: bool) -> list[str]:
    """The words of a text, the first one its genus in usual case, without a subgenus."""
    words = text.split()
    if not words:
        return words
    if _whole_in_capitals(words):
        words = [word if _coded(word) else word.lower() for word in words]
    first = words[0]
    if _abbreviates(first, genus):
        words[0] = genus or first
    elif first.islower() and genus and len(words) > 1 and first != genus.lower():
        # "aegypti (Linnaeus, 1762)", but not "aedes aegypti".
        lone = first.strip(".?") in _UNNAMED | _UNSURE or not words[1].islower()
        if lone and first.capitalize() not in known:
            words.insert(0, genus)
    if len(words) > 1 and words[0].isalpha() and (words[0].islower() or words[0].isupper()):
        words[0] = words[0].capitalize()
    if len(words) > 1 and re.fullmatch(r"\([^\s()]+\)", words[1]):
        del words[1]
    if len(words) > 1 and words[1].strip(".?").casefold() in _UNNAMED | _UNSURE:
        words[1] = words[1].lower()
    if column and len(words) > 2 and _is_a_capital_epithet(words):
        words[1] = words[1].lower()
    return words


def _whole_in_capitals(words: list[str]) -> bool:
    letters = [word for word in words if not _coded(word) and any(map(str.isalpha, word))]
    return len(words) > 1 and bool(letters) and all(word.upper() == word for word in letters)


def _coded(word: str) -> bool:
    return _CODE.fullmatch(word.strip("()[],;")) is not None


def _several_species(words: list[str]) -> bool:
    """A formula, a hybrid or a complex: "aegypti/albopictus", "aegypti and albopictus"."""
    text = " ".join(words)
    if re.search(r"[a-z.]\s?/\s?[A-Za-z]|[;+=]|\bor\b|\bvs\b", text):
        return True
    if not {word.strip(".,?").replace("X", "") for word in words[1:]}.isdisjoint(_SEVERAL):
        return True
    listed = len(words) > 3 and words[1].endswith(",") and re.fullmatch("[a-z]{3,}", words[3])
    return bool(listed) or (len(words) > 2 and words[2] in {"and", "&", "et"})


def _numbered(word: str) -> bool:
    """sp1, species2: a number in one's own list."""
    return re.sub(r"[\d._-]+$", "", word) in _UNNAMED and word not in _UNNAMED


def _abbreviates(first: str, genus: str | None) -> bool:
    return bool(
        genus and re.fullmatch(r"[A-Z][a-z]{0,2}\.", first) and genus.startswith(first[:-1])
    )


def _is_a_capital_epithet(words: list[str]) -> bool:
    """"Aedes Aegypti" and "Aedes Aegypti Linnaeus", but not "Aedes Meigen, 1818"."""
    if not (words[1].isalpha() and words[1] == words[1].capitalize() and len(words[1]) > 2):
        return False
    return len(words) == 2 or not re.match(r"[\d&]|et\b|and\b|in\b", words[2])


def _single(word: str, text: str, genus: str | None, known: Container[str]) -> Name:
    if _coded(word) and not _numbered(word.casefold()):
        interim = word if word.startswith("BOLD:") else text
        return Name(interim, genus, kind="interim")
    bare = word.strip(".?,")
    if not bare or bare.casefold() in _UNNAMED | _NOTHING or _numbered(bare.casefold()):
        return Name(genus=genus)
    title = bare.capitalize()
    higher = title in ORDERS or title.endswith("idae") or _HIGHER.fullmatch(title)
    if title == genus or title in known or higher or (bare[0].isupper() and genus is None):
        return _told(title)
    if genus and bare.replace("-", "").isalpha():
        # An epithet alone.
        return _parsed(f"{genus} {bare.lower()}", text, genus)
    return Name(text, genus, kind="kept")


def _interim(words: list[str]) -> Name | None:
    """A code with letters and digits stands for one species, as "Aedes sp. BOLD:AAA1234", "Aedes
    sp. ABC123" and "Astraptes fulgeratorDHJ02" do; "Aedes sp. 1" and "Aedes sp. A" do not."""
    genus, second, rest = words[0], words[1].strip(".").casefold(), words[2:]
    if not {word.strip(".?").casefold() for word in words[1:]}.isdisjoint(_UNSURE):
        return None
    if second in _UNNAMED and any(map(_coded, rest)):
        code = [w for w in rest if w.strip(".").casefold() not in _UNNAMED]
        return _told(genus)._replace(species=f"{genus} sp. {' '.join(code)}", kind="interim")
    if words[1].startswith("BOLD:"):
        code = " ".join(words[1:])
        return _told(genus)._replace(species=f"{genus} sp. {code}", kind="interim")
    if _coded(words[1]) and not _numbered(second) and not re.fullmatch(r"\d+-[a-z]+", words[1]):
        return _told(genus)._replace(species=f"{genus} {words[1]}", kind="interim")
    return None


def _told(first: str, rest: list[str] | None = None) -> Name:
    """What a name of no species still tells: the genus, family or order in front of it."""
    word = first.strip(".?,()")
    if word.casefold() in _NOTHING | _UNNAMED | _UNSURE:
        # "uncultured Aedes"
        names = [w for w in rest or [] if re.fullmatch(r"[A-Z][a-z]{2,}", w)]
        return _told(names[0]) if names and names[0].casefold() not in _NOTHING else Name()
    if not re.fullmatch(r"[A-Z][^\W\d_]+(?:-[^\W\d_]+)?", word):
        return Name()
    if word in ORDERS:
        return Name(order=word)
    if word.endswith("idae"):
        return Name(family=word)
    return Name() if _HIGHER.fullmatch(word) else Name(genus=word)


def _parsed(name: str, text: str, first: str) -> Name:
    parser = _parser()
    try:
        found = parser.parse(name)
    except parser.UnparsableNameError as error:
        if error.name_type in ("FORMULA", "PLACEHOLDER"):
            return _told(first, name.split()[1:])
        return Name(text, kind="kept")
    if isinstance(found, parser.Informal):
        return _told(found.taxon, name.split()[1:])
    unsure = "SPECIFIC" in (found.epithet_qualifier or {}) or found.notho
    bad = any("blacklisted" in warning for warning in found.warnings or [])
    if unsure or bad or found.rank == "SPECIES_AGGREGATE":
        return _told(first)
    if found.genus and found.specific_epithet:
        genus = found.genus
        return Name(f"{genus} {found.specific_epithet}", genus, kind="species")
    if found.uninomial:
        return _told(found.uninomial)
    return Name(text, kind="kept")


@cache
def _parser() -> ModuleType:
    try:
        import nameparser
    except ImportError:
        raise ValueError(
            "The names of a table are read by the package gbif-name-parser, which is not"
            " installed: install it with pip, or on a platform without its wheel with Rust as well."
        ) from None
    return nameparser
