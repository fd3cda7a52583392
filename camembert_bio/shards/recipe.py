"""The part of a recipe that says how a corpus at an address is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from camembert_bio.config import strict_fields


@strict_fields
@dataclass(frozen=True)
class Storage:
    """How a corpus at an address is read; nothing of a corpus in a folder is copied, and this is not used."""

    cache: Path | None = None
    """Folder of this node for what is fetched, on a disk of its own; by default `~/.cache/camembert-bio`."""
    cache_bytes: Annotated[int, Field(gt=0)] = 200_000_000_000
    """Most bytes of shards that stay in the cache, those of other corpora too; the least recently used leave it."""
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    """Tries after a failed one, of each file; the wait before them doubles from 1 s to 30 s."""
