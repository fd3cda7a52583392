"""What verbs share: how one is declared, how it reads its recipe and how it prints its result."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from typing import Any

from camembert_bio import config
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.errors import EXIT_DONE
from camembert_bio.evaluation.probe_recipe import Probe
from camembert_bio.evaluation.recipe import Finetune, Search
from camembert_bio.pretrain.recipe import Pretrain

SECTIONS: dict[str, type] = {
    "prepare": Prepare,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "search": Search,
    "probe": Probe,
}
"""The sections of a recipe."""
RECIPE_HELP = "YAML file, or the name of a shipped recipe (demo, camembert_bio_2024, camembert_bio_fast, ...)"

Run = Callable[[argparse.Namespace], int]


def declare(verbs: Any, name: str, run: Run, text: str, json_too: bool = True) -> argparse.ArgumentParser:
    """A new verb whose `run` takes the options and returns the exit code."""
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    if json_too:
        verb.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    verb.add_argument("--verbose", action="store_true", help="debug messages on stderr")
    return verb


def declare_recipe(verbs: Any, name: str, section: str, run: Run, text: str) -> argparse.ArgumentParser:
    """A new verb that works on a section of a recipe, read with `load`."""
    verb = declare(verbs, name, run, text)
    verb.set_defaults(section=section)
    verb.add_argument("recipe", help=RECIPE_HELP)
    verb.add_argument("overrides", nargs="*", metavar="key=value", help=f"changes to the section {section!r}")
    return verb


def load(options: argparse.Namespace) -> Any:
    """The section of the recipe that the verb was declared with. Raises `UserError` with all its mistakes."""
    return config.load_recipe(options.recipe, options.section, SECTIONS, options.overrides)


def answer(options: argparse.Namespace, value: Any, text: str | None = None) -> int:
    """Print the result: `text`, or without one indented JSON; one line of JSON with --json."""
    if options.json:
        print(json.dumps(value, ensure_ascii=False))
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False) if text is None else text)
    return EXIT_DONE


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def pue(text: str) -> float:
    """The power of a site over that of its machines, for argparse."""
    return within(text, lambda value: 1 <= value <= 10, "a number from 1 to 10")


def within(text: str, fits: Callable[[float], bool], what: str) -> float:
    """A number that `fits`, for argparse; `what` says which do."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value
