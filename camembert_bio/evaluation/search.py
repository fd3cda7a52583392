"""Hyperparameters by a search on validation: seeded, resumable, its trials counted. Test documents are never read.

OUTPUT/search.journal   every trial, written as it ends
OUTPUT/search.json      what was searched, each trial, the best
OUTPUT/recipe.yaml      the section `finetune` with the best values and the number of trials
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from camembert_bio import __version__, config, files
from camembert_bio.errors import Mistakes, RunError, UserError
from camembert_bio.evaluation.claims import claim
from camembert_bio.evaluation.recipe import UNTRAINED, Finetune, Search, Space, protocol
from camembert_bio.evaluation.runs import open_grid

if TYPE_CHECKING:
    import optuna

    from camembert_bio.evaluation.models import ModelFolder
    from camembert_bio.evaluation.tasks import TaskData

    _Pairs = list[tuple[TaskData, ModelFolder]]

logger = logging.getLogger(__name__)

JOURNAL, RESULT, RECIPE = "search.journal", "search.json", "recipe.yaml"
_WHOLE = ("batch_size", "max_steps", "micro_batch_tokens")
"""Options that are whole numbers."""


def run_search(options: Search, recipe: Finetune) -> dict[str, Any]:
    """Do the trials that are not done yet; returns what `search.json` holds.

    A search that was stopped goes on, and proposes what it would have proposed. A trial whose loss diverges counts,
    with no score. Raises `UserError` for values that the recipe cannot have, a folder of another search, or one in
    which another process searches; `RunError` when every trial diverged.
    """
    mistakes = Mistakes()
    for task in recipe.tasks:
        with mistakes.noted():
            if task.type in UNTRAINED:
                raise UserError(f"task {task.name}: type {task.type} has nothing to train; take it out of a search")
    for name, value in _ends(options):
        with mistakes.noted():
            with_values(recipe, {name: value})
    tasks, models = open_grid(recipe, mistakes)
    mistakes.raise_any("search cannot start:")
    content = [*(data.sha256 for data in tasks), *(model.weights_sha256 for model in models)]
    tried = {key: value for key, value in config.to_dict(options).items() if key not in ("output", "trials")}
    identity = files.sha256_json({**tried, "content": content, "protocol": protocol(recipe), "version": __version__})
    with claim(options.output) as is_ours:
        if not is_ours:
            raise UserError(f"another process searches in {options.output}; give another output, or wait for it")
        study = _open_study(options.output, identity)
        # No test document goes further than here.
        pairs = [(dataclasses.replace(data, test=[]), model) for data, model in itertools.product(tasks, models)]
        while len(_counted(study)) < options.trials:
            _try(study, options, recipe, pairs)
        return _write(study, options, recipe)


def with_values(recipe: Finetune, values: dict[str, Any]) -> Finetune:
    """The recipe with other values, checked as if they stood in it."""
    return config.build(Finetune, {**config.to_dict(recipe), **values}, "finetune")


def _ends(options: Search) -> list[tuple[str, Any]]:
    """Each option's extreme values, or all its choices: if a recipe can have these it can have the others."""
    return [
        (name, value)
        for name, space in options.space.items()
        for value in space.choices or (_number(name, space.low), _number(name, space.high))
    ]


def _number(name: str, value: float | None) -> float | int | None:
    return int(value) if value is not None and name in _WHOLE else value


def _open_study(folder: Path, identity: str) -> optuna.Study:
    """The study of a folder, new or gone on with; what a killed process was at is given up."""
    try:
        import optuna
    except ImportError as error:
        raise UserError("search needs optuna, which is not installed: pip install 'camembert-bio[search]'") from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / JOURNAL
    _mend_journal(journal)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)
    except Exception as error:
        raise UserError(
            f"{journal} is no journal of a search ({type(error).__name__}); remove it, and the search begins anew"
        ) from error
    if study.user_attrs.setdefault("identity", identity) != identity:
        raise UserError(f"output {folder} holds another search (other data, models or options); give a new folder")
    study.set_user_attr("identity", identity)
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _mend_journal(path: Path) -> None:
    """Drop a last line that is cut, as a full disk or a loss of power leaves it: what it said is done again.

    Raises `UserError` for any other line that is no JSON object.
    """
    if not path.is_file():
        return
    data = path.read_bytes()
    whole, end, cut = data.rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n") if end else [], start=1):
        try:
            is_entry = isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            is_entry = False
        if not is_entry:
            raise UserError(
                f"{path}, line {number} is no entry of a journal; remove the lines from it on, and the search goes on "
                "from there"
            )
    if cut:
        logger.warning("%s: its last line is cut, and dropped; the search goes on from the one before", path)
        os.truncate(path, len(whole) + len(end))


def _counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended: scored, or diverged."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])


def _try(study: optuna.Study, options: Search, recipe: Finetune, pairs: _Pairs) -> None:
    """One trial. Its sampler is seeded by the number of trials before it, so that going on changes nothing."""
    import optuna

    from camembert_bio.evaluation.finetune import fit
    from camembert_bio.evaluation.task_types import head_of

    number = len(_counted(study))
    study.sampler = optuna.samplers.TPESampler(seed=(options.seed + 1_000_003 * number) % 2**32)
    trial = study.ask({name: _distribution(name, space) for name, space in options.space.items()})
    tried = with_values(recipe, trial.params)
    scores: dict[str, float] = {}
    try:
        for data, model in pairs:
            head = head_of(tried, data, model)
            for seed in options.seeds:
                name = f"{data.name}/{model.name}/seed-{seed}"
                scores[name] = fit(head, tried, seed, f"trial {number + 1} {name}").best_score
    except RunError as error:
        logger.warning("trial %d of %d: %s", number + 1, options.trials, error)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return
    trial.set_user_attr("scores", scores)
    mean = statistics.fmean(scores.values())
    study.tell(trial, mean)
    logger.info("trial %d of %d: %.4f on validation with %s", number + 1, options.trials, mean, _shown(trial.params))


def _distribution(name: str, space: Space) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if space.choices is not None:
        return CategoricalDistribution(space.choices)
    assert space.low is not None and space.high is not None
    if name in _WHOLE:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)


def _write(study: optuna.Study, options: Search, recipe: Finetune) -> dict[str, Any]:
    """Write and return the result, and write the recipe of the best trial."""
    trials = _counted(study)
    scored = [trial for trial in trials if trial.value is not None]
    if not scored:
        raise RunError(f"each of {len(trials)} trials diverged; search lower values of learning_rate")
    best = max(scored, key=lambda trial: (trial.value, -trial.number))
    result = {
        "trials": len(trials),
        "diverged": len(trials) - len(scored),
        "best": {"values": best.params, "validation": best.value},
        "search": config.to_dict(options),
        "tasks": [task.name for task in recipe.tasks],
        "models": recipe.models,
        "tried": [
            {"values": trial.params, "validation": trial.value, "scores": trial.user_attrs.get("scores", {})}
            for trial in trials
        ],
    }
    files.write_json(options.output / RESULT, result)
    section = config.to_dict(with_values(recipe, {**best.params, "search_trials": len(trials)}))
    head = (
        f"# {', '.join(best.params)}: the best of {len(trials)} trials by the mean score on validation of "
        f"{', '.join(result['tasks'])}\n# ({best.value:.4f}; fine-tuning seeds {list(options.seeds)}; sampler's seed "
        f"{options.seed}). Test documents were not read.\n\n"
    )
    text = yaml.safe_dump({"finetune": section}, sort_keys=False, allow_unicode=True)
    files.write_atomic(options.output / RECIPE, head + text)
    return result


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if type(value) is float else f"{name} {value}" for name, value in values.items()
    )
