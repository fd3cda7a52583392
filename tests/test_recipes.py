"""Shipped recipes load in full; the reproduction holds the published values, and says what it assumes."""

import re
from importlib import resources
from pathlib import Path

import pytest
from transformers import CamembertConfig

from camembert_bio import config
from camembert_bio.corpus.recipe import Prepare
from camembert_bio.data.order import accumulation_steps
from camembert_bio.evaluation.recipe import STATED, Finetune, Search, paper_protocol, protocol
from camembert_bio.evaluation.tasks import load_task
from camembert_bio.model.flops import model_flops
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import num_steps, num_tokens, phases

SECTIONS = {"prepare": Prepare, "pretrain": Pretrain, "finetune": Finetune, "search": Search}
SHIPPED = sorted(Path(str(resources.files("camembert_bio") / "recipes")).glob("*.yaml"))
PUBLISHED = "camembert_bio_2024"
PROTOCOLS = ("paper", "audited")
NO_PRETRAINING = ("demo", "audited_search", *PROTOCOLS)
"""Recipes whose cost is not that of a pretraining run."""
SHARED = Path(__file__).parents[2] / "shared/data"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_section_of_a_shipped_recipe_loads_by_its_name(path):
    assert config.find_recipe(path.stem) == path
    sections = config.read_yaml(path)
    assert sections
    for section in sections:
        assert isinstance(config.load_recipe(path.stem, section, SECTIONS), SECTIONS[section])


def test_pretraining_has_the_values_that_the_paper_states():
    recipe = config.load_recipe(PUBLISHED, "pretrain", SECTIONS)
    assert recipe.model.path is not None
    assert recipe.optimizer.learning_rate == 5e-5
    assert recipe.optimizer.betas == (0.9, 0.98)
    assert num_steps(recipe) == 50_000
    assert recipe.micro_batch_size == 8
    assert recipe.global_batch_size == 8 * 16 * 2
    assert accumulation_steps(recipe.global_batch_size, recipe.micro_batch_size, world_size=2) == 16
    assert recipe.objective.whole_word is True


def test_corpus_and_model_share_the_published_tokenizer():
    prepare = config.load_recipe(PUBLISHED, "prepare", SECTIONS)
    pretrain = config.load_recipe(PUBLISHED, "pretrain", SECTIONS)
    assert [source.name for source in prepare.sources] == ["istex", "clear", "e3c"]
    assert all(source.path.suffix == ".jsonl" for source in prepare.sources)
    assert prepare.tokenizer.path == pretrain.model.path
    assert str(prepare.output) == pretrain.corpus
    assert prepare.deduplicate.exact is False


def flops_of(recipe: Pretrain) -> float:
    """Operations of a run of camembert-base whose windows are full and hold one document each."""
    costs = model_flops(CamembertConfig(vocab_size=32005))
    total = 0.0
    for phase in phases(recipe):
        causal = phase.objective.kind == "causal"
        rates = [phase.mlm_probability(step) for step in (phase.first_step, phase.end_step - 1)]
        targets = phase.seq_length * (1 if causal else sum(rates) / 2)
        total += phase.num_tokens / phase.seq_length * costs.training([phase.seq_length], round(targets), causal)
    return total


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED if path.stem not in NO_PRETRAINING])
def test_what_each_recipe_says_it_costs_is_what_is_counted(name):
    recipe = config.load_recipe(name, "pretrain", SECTIONS)
    comment = re.sub(r"\n# ", " ", config.find_recipe(name).read_text(encoding="utf-8").split("pretrain:\n")[0])
    told = re.search(r"Cost: (\S+) floating-point operations", comment)
    assert float(told[1]) == pytest.approx(flops_of(recipe), rel=0.03)
    mfu = re.search(r"at an MFU of ([\d.]+\d)", comment)
    on_gpu = re.findall(r"(\d+)(?: hours)? of one [^(]*\(([\d.]+)", comment)
    on_cpu = re.findall(r"(\d+) hours at (\d+) GFLOP/s", comment)
    spoken = [(int(hours), float(tflops)) for hours, tflops in on_gpu]
    spoken += [(int(hours), int(rate) / 1e3) for hours, rate in on_cpu]
    assert spoken
    for hours, tflops in spoken:
        seconds = flops_of(recipe) / (tflops * 1e12 * float(mfu[1] if mfu else 1))
        assert hours == round(seconds / 3600), (hours, seconds / 3600)


def test_paper_is_the_published_protocol_and_says_of_each_value_whether_it_is_stated():
    recipe = config.load_recipe("paper", "finetune", SECTIONS)
    assert protocol(recipe) == paper_protocol()
    assert (recipe.learning_rate, recipe.warmup_ratio, recipe.batch_size, recipe.max_steps) == (5e-5, 0.224, 16, 2000)
    assert (recipe.policy, len(recipe.seeds)) == ("flat-outermost", 10)
    assert {task.name: task.split for task in recipe.tasks} == {
        "EMEA": "quaero-emea",
        "MEDLINE": "quaero-medline",
        "E3C": "e3c-paper",
    }
    text = config.find_recipe("paper").read_text(encoding="utf-8").split("  seeds:")[1]
    for line in ("seeds:" + text).splitlines():
        assert re.search(r"# (stated|assumed)", line), line
        name = line.split(":")[0].strip()
        assert name in STATED or "assumed" in line, line


def test_audited_counts_all_gold_and_takes_the_splits_without_leaks():
    recipe = config.load_recipe("audited", "finetune", SECTIONS)
    assert (recipe.protocol, recipe.policy) == ("audited", "per-label")
    assert {task.split for task in recipe.tasks} == {"quaero-emea", "quaero-medline-audited", "e3c-audited"}
    paper = config.load_recipe("paper", "finetune", SECTIONS)
    changed = {name for name, value in protocol(recipe).items() if protocol(paper).get(name) != value}
    assert changed == {"protocol", "policy", "micro_batch_tokens"}


def test_a_search_has_the_tasks_of_audited_and_its_cost_is_what_is_counted():
    recipe, audited = (config.load_recipe(name, "finetune", SECTIONS) for name in ("audited_search", "audited"))
    search = config.load_recipe("audited_search", "search", SECTIONS)
    assert (recipe.protocol, recipe.tasks) == ("audited", audited.tasks)
    assert {"layer_decay", "class_balance"} <= set(search.space)
    text = config.find_recipe("audited_search").read_text(encoding="utf-8")
    told = re.search(
        r"(\d+) trials of 2 models, 3 tasks and one seed, each at most (\S+) FLOP: (\d+) hours .* (\d+) %", text
    )
    trials, flop, hours, share = (float(number) for number in told.groups())
    batch = [recipe.seq_length] * (recipe.batch_size // recipe.seq_length)
    run = recipe.max_steps * model_flops(CamembertConfig(vocab_size=32005)).training(batch, 0, False)
    assert (trials, len(search.seeds)) == (search.trials, 1)
    assert flop == pytest.approx(run, rel=0.03)
    assert hours == round(trials * 2 * 3 * flop / (312e12 * share / 100) / 3600)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the corpora in {SHARED}")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_corpora_are_read_as_the_protocols_ask(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/e3c").symlink_to(SHARED / "e3c-fr")
    Path("data/quaero").symlink_to(SHARED / "quaero-brat")
    counts = {}
    for task in config.load_recipe(name, "finetune", SECTIONS).tasks:
        data = load_task(task)
        counts[data.name] = (len(data.train), len(data.validation), len(data.test))
    medline, e3c = {"paper": ((833, 832, 833), (151, 17, 81)), "audited": ((830, 828, 833), (150, 18, 45))}[name]
    assert counts == {"EMEA": (11, 12, 15), "MEDLINE": medline, "E3C": e3c}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_a_protocol_says_it_costs_is_what_is_counted(name):
    recipe = config.load_recipe(name, "finetune", SECTIONS)
    windows = recipe.batch_size * recipe.max_steps
    flops = windows * model_flops(CamembertConfig(vocab_size=32005)).training([recipe.seq_length], 0, False)
    num_runs = len(recipe.tasks) * len(recipe.models) * len(recipe.seeds)
    told = re.search(
        r"Cost: (\d+) runs, each at most (\S+) FLOP .* (\d+) GPU-hours on a", config.find_recipe(name).read_text()
    )
    assert int(told[1]) == num_runs
    assert float(told[2]) == pytest.approx(flops, rel=0.03)
    assert int(told[3]) == round(num_runs * flops / 15.7e12 / 0.4 / 3600)


def test_the_faster_recipes_have_the_published_number_of_tokens():
    published = config.load_recipe(PUBLISHED, "pretrain", SECTIONS)
    for name in ("camembert_bio_fast", "clm_detour"):
        assert num_tokens(config.load_recipe(name, "pretrain", SECTIONS)) == pytest.approx(
            num_tokens(published), rel=1e-3
        )


NOT_STATED = (
    *("seq_length", "mlm_probability", "epsilon", "weight_decay", "gradient_clipping", "kind", "warmup_ratio"),
    *("final_ratio", "precision", "min_characters", "validation_fraction"),
)


@pytest.mark.parametrize("name", NOT_STATED)
def test_a_value_that_the_paper_does_not_state_is_marked_assumed(name):
    lines = config.find_recipe(PUBLISHED).read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if re.match(rf"\s+{name}:", line)]
    assert found
    for line in found:
        assert line.partition("#")[2].strip().startswith("assumed"), line


def test_every_scalar_of_the_training_sections_says_stated_or_assumed():
    text = config.find_recipe(PUBLISHED).read_text(encoding="utf-8").split("\npretrain:\n")[1]
    for line in text.splitlines():
        name, _, rest = line.strip().partition(":")
        if name in ("", "corpus", "output") or not rest.strip():
            continue
        assert re.search(r"# (stated|assumed)", rest), line
