"""Verbs that show: what a folder holds, and the whole chain on a sample."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from camembert_bio.verbs.command import answer, declare


def add(verbs: Any) -> None:
    """Declare them."""
    text = "say what a corpus, shard, run, checkpoint, model or results folder holds"
    inspect = declare(verbs, "inspect", _inspect, text)
    inspect.add_argument("path", type=Path, metavar="PATH", help="the folder or shard")
    inspect.add_argument("--document", metavar="ID", help="decode one document of a corpus: prints its text")
    demo = declare(verbs, "demo", _demo, "the whole chain on a synthetic sample, in minutes", json_too=False)
    demo.add_argument("output", type=Path, nargs="?", default=Path("demo-output"), help="folder (default demo-output)")


def _inspect(options: argparse.Namespace) -> int:
    from camembert_bio.inspection import inspect

    return answer(options, inspect(options.path, options.document))


def _demo(options: argparse.Namespace) -> int:
    from camembert_bio.demo import demo

    return demo(options.output)
