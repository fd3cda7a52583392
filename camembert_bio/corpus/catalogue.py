"""The public sources of French biomedical text that we know of: what they hold, under which licence, where from.

Written in November 2026 from the publishers' own descriptions as stored copies show them; no address could be
fetched. What no description says is null; what was inferred, or stands only in others' descriptions, is named in
`unverified`. Counts and licences change: the publisher's page decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from camembert_bio.corpus.recipe import Format
from camembert_bio.errors import UserError, nearest

Access = Literal["direct", "hub", "website", "on request"]


@dataclass(frozen=True)
class Address:
    """One file that is had by its address alone."""

    url: str
    file: str
    """Its name here; `.zip` and `.tar*` are unpacked."""
    sha256: str | None = None
    """Of its bytes, where it was known when this list was written."""


@dataclass(frozen=True)
class PublicSource:
    """A published collection of French biomedical text."""

    name: str
    """As in a recipe."""
    title: str
    documents: int | None
    """Of its French part, as published: before any deduplication."""
    words: int | None
    licence: str
    page: str
    """Where its publisher describes it."""
    access: Access
    """direct: `sources NAME --download`; hub: `format: datasets` with the name in `path`; website: no file to
    download, page by page or by a search; on request: an agreement or a membership first."""
    format: Format | None
    """The reader; null: none of ours fits."""
    path: str = ""
    """The `path` of a recipe's source, in the downloaded folder or on the hub."""
    options: dict[str, str | None] = field(default_factory=dict)
    """Further options of a recipe's source."""
    note: str = ""
    unverified: tuple[str, ...] = ()
    """The fields above whose value no description of the publisher's confirms."""
    addresses: tuple[Address, ...] = ()
    max_bytes: int = 100_000_000
    """A larger file is not downloaded."""
    max_unpacked_bytes: int = 500_000_000
    """An archive that holds more is refused."""


_MORFITT = "https://raw.githubusercontent.com/qanastek/MORFITT/main"

SOURCES = (
    PublicSource(
        name="e3c",
        title="E3C, European Clinical Case Corpus: layer 3 of its French part, drug leaflets and clinical articles",
        documents=25_740,
        words=66_281_501,
        licence="CC BY-NC",
        page="https://github.com/hltfbk/E3C-Corpus",
        access="direct",
        format="e3c",
        path="E3C-Corpus-2.0.0/data_collection/French/layer3",
        note="each file has a licence of its own; 12,827 texts and 33.0 M words without exact copies (measured); "
        "the archive holds five languages; layers 1 and 2 are an evaluation set",
        unverified=("path",),
        addresses=(Address("https://github.com/hltfbk/E3C-Corpus/archive/refs/tags/v2.0.0.zip", "E3C-Corpus.zip"),),
        max_bytes=2_000_000_000,
        max_unpacked_bytes=8_000_000_000,
    ),
    PublicSource(
        name="istex",
        title="ISTEX: scientific articles; of 27 M in all languages the 108,183 that the paper used",
        documents=108_183,
        words=276_000_000,
        licence="publishers' licences, for members of French higher education and research",
        page="https://www.istex.fr",
        access="on request",
        format="istex",
        note="full text needs an authorised network or a token; take TEI, or plain text with JSON metadata",
        unverified=("licence",),
    ),
    PublicSource(
        name="clear",
        title="CLEAR: encyclopedia articles, drug leaflets and scientific abstracts, technical and simplified",
        documents=16_190,
        words=73_000_000,
        licence="for research",
        page="http://natalia.grabar.free.fr/resources.php#clear",
        access="on request",
        format="clear",
        note="words as the paper counts them; its leaflets are those of the public drug database",
        unverified=("documents", "words", "licence", "access"),
    ),
    PublicSource(
        name="bdpm",
        title="Base de données publique des médicaments: leaflets and product summaries, a page each",
        documents=15_800,
        words=None,
        licence="Licence Ouverte",
        page="https://base-donnees-publique.medicaments.gouv.fr",
        access="website",
        format="html",
        note="the files that it offers for download are tables, without the leaflets; most leaflets of E3C and "
        "CLEAR come from here",
        unverified=("documents", "licence"),
    ),
    PublicSource(
        name="morfitt",
        title="MORFITT: abstracts of scientific articles in 12 specialities",
        documents=3_624,
        words=820_208,
        licence="CC BY-SA 4.0",
        page="https://github.com/qanastek/MORFITT",
        access="direct",
        format="tsv",
        options={"text_field": "abstract", "id_field": "identifier"},
        note="an evaluation set: leave it out, or decontaminate, where you score on it",
        addresses=(
            Address(
                f"{_MORFITT}/train.tsv",
                "train.tsv",
                "504bca4e1cd42a6fe04b6d51a07f74c9141029ec4073d53db43b4d0007b49fce",
            ),
            Address(
                f"{_MORFITT}/dev.tsv",
                "dev.tsv",
                "7763615d50e1d68b6a5b95d261ef72a915003a6ae83830f35e561ac11a8cd8a7",
            ),
            Address(
                f"{_MORFITT}/test.tsv",
                "test.tsv",
                "adae3dbc21df205a7d759bb77a77cf4614d9e7172a92f5005a0dce641fc499d8",
            ),
        ),
    ),
    PublicSource(
        name="quaero",
        title="QUAERO French Medical Corpus: EMEA documents and MEDLINE titles, brat",
        documents=2_536,
        words=72_183,
        licence="GFDL",
        page="https://quaerofrenchmed.limsi.fr",
        access="direct",
        format="text",
        path="QUAERO_FrenchMed/corpus",
        note="an evaluation set: for finetune and decontaminate rather than for pretraining; the hash is the one that "
        "public code (nlstruct) checks, not its publisher's",
        unverified=("path",),
        addresses=(
            Address(
                "https://quaerofrenchmed.limsi.fr/QUAERO_FrenchMed_brat.zip",
                "QUAERO_FrenchMed_brat.zip",
                "2cf8b5715d938fdc1cd02be75c4eaccb5b8ee14f4148216b8f9b9e80b2445c10",
            ),
        ),
    ),
    PublicSource(
        name="cas",
        title="CAS: clinical cases from the scientific literature",
        documents=4_900,
        words=1_700_000,
        licence="signed agreement",
        page="http://natalia.grabar.free.fr/resources.php#cas",
        access="on request",
        format="text",
        unverified=("format",),
    ),
    PublicSource(
        name="essai",
        title="ESSAI: protocols of clinical trials, mostly of the National Cancer Institute",
        documents=None,
        words=None,
        licence="signed agreement",
        page="https://clementdalloux.fr/?page_id=28",
        access="on request",
        format="text",
        unverified=("format",),
    ),
    PublicSource(
        name="parcomed",
        title="PARCOMED: open medical documents of many sources, those that allow commercial use",
        documents=None,
        words=None,
        licence="CC BY 4.0 and Licence Ouverte 2.0",
        page="https://huggingface.co/datasets/HealthDataHub/PARCOMED",
        access="hub",
        format="datasets",
        path="HealthDataHub/PARCOMED",
        options={"text_field": "input", "id_field": None},
        note="about 3 GB of parquet or more, 1 to 10 M rows",
        unverified=("options",),
    ),
    PublicSource(
        name="parcomed-research",
        title="PARCOMED for research only: the larger edition of the above",
        documents=905_342,
        words=None,
        licence="CC BY-NC 4.0",
        page="https://huggingface.co/datasets/HealthDataHub/PARCOMED_research_only",
        access="hub",
        format="datasets",
        path="HealthDataHub/PARCOMED_research_only",
        options={"text_field": "input", "id_field": None},
    ),
    PublicSource(
        name="parhaf",
        title="PARHAF: clinical reports of fictitious patients, written by residents",
        documents=7_394,
        words=None,
        licence="CC BY",
        page="https://huggingface.co/datasets/HealthDataHub/PARHAF",
        access="hub",
        format=None,
        note="a row holds several documents, in a column of lists: write them out as JSONL first; part of it is "
        "held back for benchmarks",
    ),
    PublicSource(
        name="nachos",
        title="NACHOS: crawled medical pages, the corpus of DrBERT",
        documents=None,
        words=None,
        licence="signed commitment",
        page="https://huggingface.co/datasets/Dr-BERT/NACHOS",
        access="on request",
        format="text",
        note="about 7 GB",
        unverified=("format",),
    ),
)


def find(name: str) -> PublicSource:
    """The source of a name; `UserError` with the nearest name for one that is not listed."""
    known = {source.name: source for source in SOURCES}
    if name not in known:
        raise UserError(f"no public source is named {name!r}; {nearest(name, known)}")
    return known[name]


def as_json(source: PublicSource) -> dict[str, Any]:
    """Every field, for `--json`."""
    return asdict(source)


def table(sources: Sequence[PublicSource]) -> str:
    """One line a source; `?` marks what no description of the publisher's confirms."""
    columns = ["name", "documents", "words", "access", "format", "licence"]
    rows = [columns, *([_shown(source, column) for column in columns] for source in sources)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", "? not confirmed by its publisher; - unknown, or no reader. More: sources NAME"])


def details(source: PublicSource) -> str:
    """All that is known of a source, and the lines of a recipe that read it."""
    columns = ("documents", "words", "licence", "access", "page")
    lines = [source.title, *(f"{column}: {_shown(source, column)}" for column in columns)]
    for address in source.addresses:
        pinned = address.sha256 or "not known: the first download records it, later ones must match"
        lines += [f"address: {address.url}", f"  sha256: {pinned}"]
    if source.note:
        lines.append(f"note: {source.note}")
    if source.unverified:
        lines.append(f"not confirmed by its publisher: {', '.join(source.unverified)}")
    return "\n".join(lines + (["in a recipe:", recipe_lines(source)] if source.format else []))


def recipe_lines(source: PublicSource, folder: str | None = None) -> str:
    """The entry of a recipe's `sources`; without a folder its place is left to fill in."""
    unpacked = folder or (f"FOLDER/{source.name}" if source.access == "direct" else "FOLDER")
    place = source.path if source.access == "hub" else "/".join(filter(None, [unpacked, source.path]))
    entry = {"name": source.name, "path": place, "licence": source.licence, "format": source.format, **source.options}
    lines = [f"{key}: {'null' if value is None else value}" for key, value in entry.items()]
    return "  - " + "\n    ".join(lines)


def _shown(source: PublicSource, column: str) -> str:
    value = getattr(source, column)
    text = "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return f"{text} ?" if column in source.unverified and value is not None else text
