import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.corpus.recipe import Deduplicate, Prepare
from camembert_bio.errors import UserError
from camembert_bio.shards import manifest

SOURCE = {"name": "a", "path": "a.jsonl", "licence": "CC0"}


def build(**changes):
    return config.build(
        Prepare, {"output": "out", "sources": [SOURCE], "tokenizer": {"train": {}}, **changes}, "prepare"
    )


def test_defaults():
    recipe = build()
    assert recipe.tokenizer.train.vocab_size == 32_005
    assert (recipe.deduplicate, recipe.validation_fraction, recipe.shard_bytes) == (Deduplicate(), 0.01, 100_000_000)
    assert recipe.sources[0].path == Path("a.jsonl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "prepare.sources"),
        ({"sources": [{"name": "a", "path": "x"}]}, "licence: this option is required"),
        ({"sources": [{**SOURCE, "licence": ""}]}, "licence"),
        ({"sources": [{**SOURCE, "name": "A b"}]}, "name"),
        (
            {"sources": [{**SOURCE, "name": "tokenizer"}]},
            "named 'tokenizer': a corpus has a folder tokenizer; use another",
        ),
        ({"sources": [{**SOURCE, "name": "windows"}]}, "named 'windows': a corpus has a folder windows; use another"),
        ({"sources": [{**SOURCE, "name": "corpus.json"}]}, "name"),
        ({"sources": [{**SOURCE, "name": ".forget"}]}, "name"),
        ({"sources": [{**SOURCE, "name": "a\n"}]}, "name"),
        ({"sources": [SOURCE, SOURCE]}, "two sources are named 'a'"),
        ({"tokenizer": {}}, "give exactly one of path"),
        ({"tokenizer": {"path": "x", "train": {}}}, "give exactly one of path"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"shard_bytes": 10}, "shard_bytes"),
        ({"num_workers": 99999999999999999}, "num_workers: input should be less than or equal to 1024"),
        ({"tokenizer": {"train": {"vocab_size": 3_000_000_000}}}, "vocab_size: input should be less than or equal to"),
        ({"sources": [{**SOURCE, "licence": "x" * 101}]}, "licence: string should have at most 100 characters"),
        ({"cleen": {}}, "did you mean 'clean'"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        build(**changes)


def test_no_folder_of_a_corpus_can_be_a_source():
    for name in (manifest.TOKENIZER, manifest.WINDOWS):
        with pytest.raises(UserError, match="use another"):
            build(sources=[{**SOURCE, "name": name}])


def test_the_recipe_imports_nothing_heavy():
    code = "import sys, camembert_bio.corpus.recipe; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["numpy", "torch", "transformers", "pyarrow", "sentencepiece", "zstandard"]
    output = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
