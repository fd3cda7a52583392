"""Recipes: values, overrides, and every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from camembert_bio import config
from camembert_bio.errors import UserError


@config.strict_fields
@dataclass(frozen=True)
class Inner:
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    kind: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        if self.learning_rate > 1:
            raise ValueError("learning_rate above 1 diverges; use 5e-5")


@config.strict_fields
@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    count: int | None = None
    quick: bool = True
    paths: tuple[Path, ...] = ()


SECTIONS = {"train": Outer}


def load(folder: Path, text: str, *overrides: str) -> Outer:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load_recipe(str(path), "train", SECTIONS, overrides)


def message(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, text, *overrides)
    return str(caught.value)


def test_a_rate_in_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {name: a, inner: {learning_rate: 5e-5}}").inner.learning_rate == 5e-5
    assert load(tmp_path, "train: {name: a}", "inner.learning_rate=1e-3").inner.learning_rate == 1e-3


def test_integers_stay_integers(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {name: a, count: 12}").count == 12
    assert "fractional part" in message(tmp_path, "train: {name: a, count: 1.5}")


def test_no_is_a_boolean_and_not_a_name(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {name: a, quick: no}").quick is False
    assert "train.name" in message(tmp_path, "train: {name: no}")


def test_every_mistake_is_reported_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    told = message(tmp_path, "train: {nam: a, inner: {kind: lin, learning_rat: 1}, count: x}\nothr: {}")
    assert "6 mistakes" in told
    for part in ("train.nam: unknown option (did you mean 'name'?)", "train.name: this option is required"):
        assert part in told
    assert "did you mean 'learning_rate'?" in told
    assert "'linear' or 'cosine', got 'lin'" in told
    assert "othr: unknown section" in told


def test_overrides_reach_nested_values_and_their_mistakes_are_told(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {name: a}", "inner.kind=cosine", "count=3") == Outer("a", Inner(kind="cosine"), 3)
    assert "is not an override" in message(tmp_path, "train: {name: a}", "count")
    assert "is not inside a mapping" in message(tmp_path, "train: {name: a}", "name.x.y=1")


def test_checks_across_fields_are_mistakes_of_their_section(tmp_path: Path) -> None:
    assert "train.inner: learning_rate above 1 diverges" in message(
        tmp_path, "train: {name: a}", "inner.learning_rate=3"
    )


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    assert "not valid YAML at line" in message(tmp_path, "train: {name: [}")
    assert "given twice" in message(tmp_path, "train:\n  name: a\n  name: b\n")
    assert "not a mapping" in message(tmp_path, "- 1\n")
    (tmp_path / "latin.yaml").write_bytes("train: {name: é}".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        config.load_recipe(str(tmp_path / "latin.yaml"), "train", SECTIONS)
    with pytest.raises(UserError, match="neither a file nor a recipe"):
        config.load_recipe("demoo", "train", SECTIONS)


def test_a_missing_section_is_told(tmp_path: Path) -> None:
    assert "train: this section is missing" in message(tmp_path, "{}")


def test_a_configuration_becomes_json_and_comes_back() -> None:
    value = Outer("a", Inner(2e-5), 4, False, (Path("x"),))
    assert config.build(Outer, config.to_dict(value)) == value


@pytest.mark.parametrize(
    "text", ["train: {name: a\0}", "train: {when: 2024-02-30}", f"train: {{count: {'1' * 5000}}}", "[" * 3000]
)
def test_a_file_that_yaml_cannot_read_is_one_message(tmp_path: Path, text: str) -> None:
    assert "is not valid YAML" in message(tmp_path, text)


def test_a_section_that_is_no_word_is_unknown(tmp_path: Path) -> None:
    assert "1: unknown section" in message(tmp_path, "train: {name: a}\n1: {}")


def test_infinite_rates_are_mistakes(tmp_path: Path) -> None:
    assert "finite number" in message(tmp_path, "train: {name: a, inner: {learning_rate: .nan}}")
    assert "finite number" in message(tmp_path, "train: {name: a}", "inner.learning_rate=.inf")


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/marie")
    assert load(tmp_path, "train: {name: a, paths: [~/x, y~/z]}").paths == (Path("/home/marie/x"), Path("y~/z"))
