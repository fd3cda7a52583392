from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import run

from camembert_bio.pretrain.engine import init_distributed, leave_distributed

SEVERAL = Path(__file__).with_name("several.py")

RunAll = Callable[..., None]
WriteRecipe = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Write a recipe with the section `pretrain`; its path."""

    def write(values: dict[str, Any]) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"pretrain": values}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def run_all(tmp_path: Path) -> RunAll:
    """Train several recipes to their end, one after the other, in one job."""

    def train(recipes: list[dict[str, Any]], num_ranks: int = 2) -> None:
        path = tmp_path / f"recipes-{num_ranks}.json"
        path.write_text(json.dumps(recipes))
        run([SEVERAL, path], num_ranks, bound_s=400)

    return train


@pytest.fixture(scope="session")
def group_of_one() -> Iterator[dict[str, str]]:
    """A process group of this process alone, once: DeepSpeed cannot be initialised again. Its environment."""
    before = dict(os.environ)
    init_distributed()
    added = {name: value for name, value in os.environ.items() if before.get(name) != value}
    os.environ.clear()
    os.environ.update(before)
    yield added
    leave_distributed()


@pytest.fixture
def world_of_one(group_of_one: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test call `pretrain` in this process; environment and signal handlers are put back."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    for name, value in group_of_one.items():
        monkeypatch.setenv(name, value)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
