from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import run

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
