"""Console logging: rank 0 speaks, the others are silent below warnings."""

from __future__ import annotations

import logging
import os
import sys

logger = logging.getLogger("camembert_bio")


def configure(verbose: bool = False) -> None:
    """Send the package's messages to stderr, so that stdout carries results alone.

    Ranks other than 0 (by the launcher's RANK) print warnings and errors only, with their rank.
    Messages never hold text of a document: log ids and counts.
    """
    rank = int(os.environ.get("RANK", "0"))
    prefix = "" if rank == 0 else f"[rank {rank}] "
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{prefix}%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.propagate = False
    # DeepSpeed speaks while it is imported, which transformers does too.
    logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno >= logging.ERROR)
    logger.setLevel(logging.WARNING if rank else logging.DEBUG if verbose else logging.INFO)


def terminal() -> bool:
    """Whether progress bars make sense: rank 0 with a terminal on stderr."""
    return int(os.environ.get("RANK", "0")) == 0 and sys.stderr.isatty()
