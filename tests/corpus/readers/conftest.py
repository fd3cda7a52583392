"""Sources written for one test, and what reading them gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from camembert_bio.corpus.documents import Document, Rejected, read
from camembert_bio.corpus.recipe import Source

DATA = Path(__file__).parents[4] / "shared" / "data"


def source(path: Path, **changes: Any) -> Source:
    return Source(**{"name": "s", "path": path, "licence": "CC0", **changes})


def read_all(path: Path, **changes: Any) -> tuple[list[Document], list[Rejected]]:
    rejected: list[Rejected] = []
    return list(read(source(path, **changes), rejected=rejected.append)), rejected


def texts(path: Path, **changes: Any) -> dict[str, str]:
    """Text by id, where nothing is rejected."""
    documents, rejected = read_all(path, **changes)
    assert not rejected
    return {document.id: document.text for document in documents}


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"no {DATA / name}: the real data are not here")
    return DATA / name
