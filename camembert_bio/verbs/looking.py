"""Verbs that show: what a folder holds, and the whole chain on a sample."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.verbs.command import answer, declare, positive


def add(verbs: Any) -> None:
    """Declare them."""
    text = "say what a corpus, shard, run, checkpoint, model or results folder holds"
    inspect = declare(verbs, "inspect", _inspect, text)
    inspect.add_argument("path", type=Path, metavar="PATH", help="the folder or shard")
    inspect.add_argument("--document", metavar="ID", help="decode one document of a corpus: prints its text")
    inspect.add_argument("--step", type=positive, metavar="N", help="list the batches of a run's step, the first is 1")
    inspect.add_argument("--text", action="store_true", help="with --step: print the text of the windows too")
    inspect.add_argument("--corpus", metavar="PLACE", help="with --step: where the run's corpus stands now")
    demo = declare(verbs, "demo", _demo, "the whole chain on a synthetic sample, in minutes", json_too=False)
    demo.add_argument("output", type=Path, nargs="?", default=Path("demo-output"), help="folder (default demo-output)")


def _inspect(options: argparse.Namespace) -> int:
    from camembert_bio.inspection import inspect

    if options.step is None:
        for name in ("text", "corpus"):
            if getattr(options, name):
                raise UserError(f"--{name} belongs to the windows of a step; give --step N too")
        return answer(options, inspect(options.path, options.document, options.json or options.verbose))
    if options.document is not None:
        raise UserError("--document is of a corpus and --step of a run; give one of them")
    from camembert_bio.pretrain import look

    step = look.describe(options.path, options.step, options.text, options.corpus)
    return answer(options, step, look.as_text(step))


def _demo(options: argparse.Namespace) -> int:
    from camembert_bio.demo import demo

    return demo(options.output)
