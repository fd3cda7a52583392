"""French sentences made from word lists, and one corpus built from them for the tests that only look at it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.shards.manifest import Corpus, open_corpus

SUBJECTS = ("le patient", "la patiente", "un enfant de 8 ans", "cette femme", "l'homme", "le nourrisson")
VERBS = ("est venu pour", "présente", "a été hospitalisé pour", "se plaint d'", "est traité pour")
ILLNESSES = ("une douleur", "une fièvre", "une toux sèche", "un œdème", "une anémie", "un diabète", "une plaie")
ENDS = ("depuis hier", "sans signe de gravité", "avec vomissements", "sous 5 mg d'aspirine", "à l'hôpital")


def sentences(number: int, seed: int = 0) -> list[str]:
    """Texts of three sentences each, all different."""
    draw = random.Random(seed)
    parts = (SUBJECTS, VERBS, ILLNESSES, ENDS)
    return [
        f"Observation {seed}.{i} : " + " ".join(" ".join(draw.choice(p) for p in parts) + "." for _ in range(3))
        for i in range(number)
    ]


def write_jsonl(path: Path, texts: Sequence[str] | Mapping[str, str]) -> Path:
    named = texts if isinstance(texts, Mapping) else {f"doc-{i}": text for i, text in enumerate(texts)}
    lines = (json.dumps({"id": key, "text": text}, ensure_ascii=False) + "\n" for key, text in named.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def recipe(output: Path, *sources: Path, **changes: object) -> Prepare:
    """A recipe over source files, named a, b, ...; trains a tokenizer of 80 ids."""
    values: dict[str, object] = {
        "output": str(output),
        "sources": [{"name": chr(ord("a") + i), "path": str(path), "licence": "CC0"} for i, path in enumerate(sources)],
        "tokenizer": {"train": {"vocab_size": 80}},
        "validation_fraction": 0.1,
    }
    return config.build(Prepare, {**values, **changes})


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two sources of 60 and 40 documents, in shards of 2,000 bytes of tokens. Read only."""
    folder = tmp_path_factory.mktemp("corpus")
    first = write_jsonl(folder / "first.jsonl", sentences(60, seed=1))
    second = write_jsonl(folder / "second.jsonl", sentences(40, seed=2))
    prepare(recipe(folder / "built", first, second, shard_bytes=2000))
    return open_corpus(folder / "built")


@pytest.fixture(scope="session")
def tokenizer_folder(corpus: Corpus) -> Path:
    return corpus.folder / "tokenizer"
