"""What a path holds: a corpus, one of its shards, a run, a checkpoint, a model, or results of fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.errors import UserError


def inspect(path: Path, document: str | None = None, with_build: bool = False) -> dict[str, Any]:
    """A description of a folder or a shard, its hashes verified; `document` decodes one of a corpus by id.

    `with_build` adds what a corpus was built from: the recipe and the hash of each input.

    Raises `UserError` when the path holds nothing of ours.
    """
    if (path / "corpus.json").is_file():
        return _corpus(path, document, with_build)
    if document is not None:
        raise UserError(f"--document needs a corpus folder; {path} has no corpus.json")
    if (path / "run.json").is_file():
        return _run(path)
    if (path / "MANIFEST.json").is_file():
        return _checkpoint(path)
    if (path / "config.json").is_file():
        return _model(path)
    if (path / "finetune.json").is_file():
        return _results(path)
    if path.suffix == ".arrow" and path.is_file():
        return _shard(path)
    raise UserError(
        f"{path} is no corpus, run, checkpoint or model folder, no results of finetune and no shard; check the path"
    )


def _corpus(path: Path, document: str | None, with_build: bool) -> dict[str, Any]:
    from camembert_bio.corpus.inspect import decode, describe

    if document is not None:
        return {"document": document, "text": decode(path, document)}
    return {"kind": "corpus", **describe(path, with_build)}


def _shard(path: Path) -> dict[str, Any]:
    """Counts of one shard; its hash is for comparison with `corpus.json`."""
    from camembert_bio import files
    from camembert_bio.shards.format import open_shard

    shard = open_shard(path)
    return {
        "kind": "shard",
        "documents": len(shard),
        "tokens": len(shard.input_ids),
        "dtype": str(shard.input_ids.dtype),
        "bytes": path.stat().st_size,
        "sha256": files.sha256_file(path),
    }


def _results(path: Path) -> dict[str, Any]:
    from camembert_bio.evaluation.inspect import describe

    return {"kind": "results", **describe(path)}


def _run(path: Path) -> dict[str, Any]:
    from camembert_bio.pretrain import checkpoint, metrics

    begun = config.read_json(path / "run.json")
    points = metrics.read(path)
    last = {key: value for point in points for key, value in point.items()}
    return {
        "kind": "run",
        "corpus_hash": begun["corpus_hash"],
        "versions": begun["versions"],
        "checkpoints": {item.name: checkpoint.problem_of(item) or "verified" for item in checkpoint.complete(path)},
        "last": last,
        "recipe": begun["recipe"],
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    from camembert_bio.pretrain import checkpoint

    problem = checkpoint.problem_of(path)
    state = {} if problem else checkpoint.read_state(path)
    return {"kind": "checkpoint", "verified": problem is None, "problem": problem, **state}


def _model(path: Path) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from camembert_bio import files
    from camembert_bio.model import encoder as encoders

    encoders.quiet_transformers()
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise UserError(f"model folder {path} has no .safetensors weights; export it again")
    model = encoders.load_encoder(path)
    encoders.assert_tied(model)
    settings = model.config
    return {
        "kind": "model",
        "model_type": settings.model_type,
        "parameters": encoders.num_parameters(model),
        "tied_head": True,  # assert_tied refuses another
        "vocab_size": settings.vocab_size,
        "tokenizer": len(AutoTokenizer.from_pretrained(path, local_files_only=True)),
        "layers": settings.num_hidden_layers,
        "hidden_size": settings.hidden_size,
        "max_position_embeddings": settings.max_position_embeddings,
        "sha256": {item.name: files.sha256_file(item) for item in weights},
    }
