"""A small corpus of synthetic text, and the values of a recipe that trains on it in seconds."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from camembert_bio import config, log
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.shards.manifest import Corpus, open_corpus

# A machine that does other work is slow: no test is timed, neither are its examples.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

LONGEST = ("test_docs.py", "pretrain/test_resume.py", "corpus/test_scale.py", "test_launch.py", "pretrain/test_runs.py")
"""Files that take minutes. First of all: with two files at a time, none of them is left to end alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first; within a file, and among the others, as they stand."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(folder).as_posix() not in LONGEST)


Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three sources, 90 documents, a tokenizer of 600 ids, a tenth held out. Read only."""
    folder = tmp_path_factory.mktemp("sample")
    write_corpus(folder / "raw", num_documents=90)
    sources = [
        {"name": "leaflets", "path": str(folder / "raw/leaflets"), "licence": "MIT"},
        {"name": "cases", "path": str(folder / "raw/clinical_cases.jsonl.gz"), "licence": "MIT"},
        {"name": "abstracts", "path": str(folder / "raw/abstracts.jsonl.zst"), "licence": "MIT"},
    ]
    values = {
        "output": str(folder / "corpus"),
        "sources": sources,
        "tokenizer": {"train": {"vocab_size": 600}},
        "validation_fraction": 0.1,
    }
    prepare(config.build(Prepare, values))
    return open_corpus(folder / "corpus")


@pytest.fixture
def tiny(corpus: Corpus) -> Tiny:
    """Values of the section `pretrain` for an output folder: two layers, windows of 64, eight a step, dropout on."""

    def values(output: Path, **changes: Any) -> dict[str, Any]:
        model = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 66,
        }
        return {
            "corpus": str(corpus.folder),
            "output": str(output),
            "model": {"config": model},
            "seq_length": 64,
            "global_batch_size": 8,
            "micro_batch_size": 2,
            "ds_config": "cpu",
            "optimizer": {"learning_rate": 1e-3},
            "schedule": {"max_steps": 4},
            "evaluation": {"max_windows": 6},
            "log_every_steps": 1,
            **changes,
        }

    return values


@pytest.fixture(autouse=True)
def _log_of_one_test() -> Iterator[None]:
    """What the command line does to the package's log ends with the test: pytest reads it, once."""
    yield
    log.logger.handlers.clear()
    log.logger.propagate = True
    log.logger.setLevel(logging.NOTSET)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and list, unlike pytest's own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def nobody() -> Callable[[], AbstractContextManager[None]]:
    """A context without root's right to read and write everything."""

    @contextmanager
    def without_rights() -> Iterator[None]:
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)
        try:
            yield
        finally:
            os.seteuid(user)

    return without_rights
