"""The section `prepare` of a recipe: which texts become which corpus."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from camembert_bio import config

Format = Literal["text", "jsonl", "json", "csv", "tsv", "parquet", "datasets", "html", "e3c", "istex", "clear"]

_RESERVED = ("tokenizer", "windows")
"""Folders of a corpus that hold no shards. `shards.manifest` has the names; importing it needs pyarrow."""


@config.strict_fields
@dataclass(frozen=True)
class Source:
    """One collection of documents under one licence."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=64)]
    """Names the folder of its shards: lower-case letters, digits, `-` and `_`."""
    path: Path
    """A file, or a folder of files of one format; or with `format: datasets` a name on the hub."""
    licence: Annotated[str, Field(min_length=1, max_length=100)]
    """Of its documents; a record's own `licence` field is counted beside it in the report."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How often an epoch of training reads each window of this source; a run's `source_repeats` changes it."""
    format: Format | None = None
    """How to read it; null: by the files' suffixes, which tell all but json, e3c, istex and clear."""
    text_field: str = "text"
    """The field of a record, or the column, that holds the text."""
    id_field: str | None = "id"
    """The field or column that holds the id, a string or an integer; null: the line or row number."""
    max_document_bytes: Annotated[int, Field(ge=1000, le=1 << 30)] = 20_000_000
    """A longer document (decompressed; for JSONL and CSV its whole record) is refused: a worker's memory grows
    with it."""

    def __post_init__(self) -> None:
        if self.name in _RESERVED:
            raise ValueError(f"a source cannot be named {self.name!r}: a corpus has a folder {self.name}; use another")


@config.strict_fields
@dataclass(frozen=True)
class TrainTokenizer:
    """A SentencePiece unigram model trained on the corpus' training split, in CamemBERT's layout."""

    vocab_size: Annotated[int, Field(ge=32, le=1_000_000)] = 32_005
    """Ids in all, as transformers counts them: SentencePiece's pieces and five more."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1)] = 0.99999
    """Share of the sample's characters that the pieces cover. SentencePiece's own default, 0.9995, has no `w`, `ù`,
    `=` or `µ` on biomed-raw-fr: 0.67 % of its tokens are unknown; 0.9999 leaves 0.2 %, this 0.01 %."""
    sample_bytes: Annotated[int, Field(ge=1000)] = 20_000_000
    """UTF-8 bytes of distinct sentences to train on, drawn by hash. Training on the default takes about
    450 MB and 25 CPU-seconds (measured)."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Draws the sample."""


@config.strict_fields
@dataclass(frozen=True)
class Tokenizer:
    """Exactly one of `path` and `train`."""

    path: Path | None = None
    """A transformers folder with `sentencepiece.bpe.model` (CamemBERT, XLM-R) or `tokenizer.json` (any other)."""
    train: TrainTokenizer | None = None
    """Train one on the corpus; `train: {}` takes the defaults."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.train is None):
            raise ValueError(
                "give exactly one of path (a transformers folder) and train (`train: {}` for the defaults)"
            )


@config.strict_fields
@dataclass(frozen=True)
class Clean:
    """What is done to a text beyond the fixed steps of `corpus.clean`."""

    min_characters: Annotated[int, Field(ge=1)] = 20
    """A document shorter than this after cleaning is dropped, and counted."""
    min_words: Annotated[int, Field(ge=1)] = 1
    """So is one of fewer words."""
    languages: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(min_length=1)] | None = None
    """Codes (`[fr]`) of the languages to keep: a document whose first 1,000 characters are surely in another is
    dropped, and counted. null: not looked at."""
    boilerplate: Annotated[float, Field(ge=0.2, le=1)] | None = None
    """A sentence or line that stands in this share of a source's documents, such as a letterhead, is left out of all of
    them; in other sources it stays. null: off. Of sources of fewer than 20 documents nothing is left out. From 0.2 on:
    what fewer documents share is repeated text, of which `deduplicate.sentences` keeps the first."""
    hook: Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+$")] | None = None
    """`module:function`, called with each document's text before any cleaning, giving its text back: where a
    pseudonymiser goes. The module is on the path or in the working directory. A document on
    which it fails is left out, and named in `quarantine.jsonl`."""


@config.strict_fields
@dataclass(frozen=True)
class Deduplicate:
    """What is kept once, across all sources, in the recipe's order of preference."""

    exact: bool = True
    """Of documents that are equal up to case and white space, one."""
    near: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Of documents whose word 5-grams are similar to this Jaccard index or more, as MinHash estimates it
    (± 0.035 at 0.8), the first; null: off. On biomed-raw-fr 0.8 finds 4,304 of 16,442 documents."""
    sentences: Annotated[int, Field(ge=1)] | None = None
    """Of sentences that are equal up to case and white space, the first so many; null: all. On the leaflets of E3C
    1 leaves 43 % of the words."""
    sentence_min_words: Annotated[int, Field(ge=1)] = 5
    """A shorter sentence is never a duplicate, and boilerplate only at the edges of a document."""


@config.strict_fields
@dataclass(frozen=True)
class EvaluationSet:
    """The documents of an evaluation set: read as a source is."""

    path: Path
    """As `path` of a source."""
    format: Format | None = None
    """As `format` of a source."""
    text_field: str = "text"
    """As `text_field` of a source."""
    id_field: str | None = "id"
    """As `id_field` of a source."""


def _at_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, (str, Path)) else value


@config.strict_fields
@dataclass(frozen=True)
class Decontaminate:
    """Which evaluation sets must not stand in the corpus."""

    tasks: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=64)],
            Annotated[EvaluationSet, BeforeValidator(_at_path)],
        ],
        Field(min_length=1),
    ]
    """Each set's name, and its path, or where its suffixes do not tell all `{path, format, text_field, id_field}`."""
    n: Annotated[int, Field(ge=2, le=64)] = 8
    """Words of an n-gram. Of a shorter evaluation document only an equal text is found."""
    remove: bool = False
    """Drop the documents that hold one of the sets' documents; false: count them and report."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A document of the corpus holds an evaluation document from this share of its n-grams on."""


@config.strict_fields
@dataclass(frozen=True)
class Prepare:
    """From sources to a corpus folder."""

    output: Path
    """The corpus folder; it must not exist, be empty, or hold this very corpus."""
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """In order of preference: of two equal documents the one of the earlier source stays."""
    tokenizer: Tokenizer
    """Where the tokenizer comes from."""
    clean: Clean = field(default_factory=Clean)
    """Options of the cleaning."""
    deduplicate: Deduplicate = field(default_factory=Deduplicate)
    """What is kept once."""
    decontaminate: Decontaminate | None = None
    """Evaluation sets to look for in the corpus; null: none."""
    max_rejected: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a source's documents that may be unreadable (not UTF-8, broken JSON, too long, ...): they go to
    `quarantine.jsonl`, by id, place and reason. 0: the first one stops the build."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the documents held out, chosen by the hash of the text: a document keeps its side when others
    are added. 0 holds none out."""
    shard_bytes: Annotated[int, Field(ge=1000, le=1 << 30)] = 100_000_000
    """Token bytes of one shard at most (a longer document makes a longer shard)."""
    num_workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processes on this machine; null: one for each core that the process may use, fewer for a small corpus. Under
    mpirun or srun the ranks of MPI work instead. Never changes the result."""

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are named {', '.join(map(repr, twice))}; give each its own name")
