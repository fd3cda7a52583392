"""What a reader of the curves sees: every series, one line after a resumption, equal numbers for every layout."""

import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.util import tensor_util

from camembert_bio.errors import UserError
from camembert_bio.model.encoder import rebuild_encoder
from camembert_bio.model.flops import model_flops
from camembert_bio.pretrain import look, metrics, preflight, run_folder
from camembert_bio.pretrain.prompts import read_prompts

from .test_alone import built

SOURCES = {"abstracts", "cases", "leaflets"}
PROMPTS = ["Le patient prend de l'<mask>.", "Une <mask> de la <mask> | fin"]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def settings(tiny, folder: Path, stage: str, **changes) -> dict:
    evaluation = {"every_steps": 2, "max_windows": 9, "prompts": PROMPTS}
    values = tiny(folder, ds_config=stage, evaluation=evaluation, checkpoint={"every_steps": 2, "keep": 9}, **changes)
    values["model"]["config"] |= NO_DROPOUT
    return values | {"device_peak_tflops": 0.5, "optimizer": {"learning_rate": 1e-3, "gradient_clipping": 0.5}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("watching")


@pytest.fixture
def runs(folder, tiny, run_all) -> Path:
    """`one` and `two` by their ranks; `again` is `two`, killed after two of its four steps and resumed."""
    if not (folder / "again").exists():
        run_all([settings(tiny, folder / "one", "zero1", micro_batch_size=4)], num_ranks=1)
        two = settings(tiny, folder / "two", "zero3")
        run_all(
            [
                two,
                {"copy": str(folder / "two"), "to": str(folder / "again"), "step": 2},
                {**two, "output": str(folder / "again")},
            ]
        )
    return folder


def point(run: Path, name: str) -> dict:
    """The last point that has a value of this name."""
    return [found for found in metrics.read(run) if name in found][-1]


def events(run: Path, folder: str = "") -> EventAccumulator:
    accumulator = EventAccumulator(str(run / metrics.TENSORBOARD / folder), size_guidance={"tensors": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def texts(run: Path) -> dict[int, str]:
    found = events(run, metrics.ANSWERS).Tensors("prompts/text_summary")
    assert len({event.step for event in found}) == len(found), "a step is shown twice"
    return {event.step: tensor_util.make_ndarray(event.tensor_proto).item().decode() for event in found}


def test_losses_of_each_source_are_equal_for_every_layout(runs):
    one, two = (point(runs / name, "heldout/loss") for name in ("one", "two"))
    names = [f"heldout/{kind}/{source}" for kind in ("loss", "perplexity") for source in SOURCES]
    for name in ("heldout/loss", "heldout/perplexity", *names):
        assert one[name] == pytest.approx(two[name], rel=1e-5)
    assert (
        min(one[f"heldout/loss/{s}"] for s in SOURCES)
        < one["heldout/loss"]
        < max(one[f"heldout/loss/{s}"] for s in SOURCES)
    )


def test_every_series_has_a_value_that_can_be_true(runs):
    one, two = (point(runs / name, "train/loss") for name in ("one", "two"))
    assert 0.05 < two["data/mask_rate"] < 0.3 and 0.7 < two["data/window_fill"] <= 1
    assert two["data/mask_rate"] == one["data/mask_rate"] and two["data/window_fill"] == one["data/window_fill"]
    assert two["speed/tokens_per_s_device"] == pytest.approx(two["speed/tokens_per_s"] / 2)
    assert two["speed/mfu"] == pytest.approx(two["speed/tflops_device"] / 0.5)
    assert two["speed/slowest_rank"] in (0, 1) and 0 <= two["speed/slowest_rank_behind"] < 1
    assert "speed/slowest_rank" not in one
    assert all(one[f"time/{part}_s"] > 0 for part in ("data_wait", "agree", "forward", "backward", "update"))
    parts = sum(value for name, value in one.items() if name.startswith("time/"))
    assert parts <= 8 * 64 / one["speed/tokens_per_s"]
    assert 0.05 < one["memory/peak_gb"] < 8
    assert point(runs / "one", "checkpoint/stall_s")["checkpoint/stall_s"] > 0
    norms = [found["train/gradient_norm"] for found in metrics.read(runs / "one") if "train/loss" in found]
    clipped = [found["train/clipped"] for found in metrics.read(runs / "one") if "train/loss" in found]
    assert clipped == [float(norm > 0.5) for norm in norms] and any(clipped)


@pytest.mark.parametrize(("name", "num_ranks"), [("one", 1), ("two", 2), ("again", 2)])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_what_inspect_shows_of_a_step_is_what_the_run_counted(runs, name, num_ranks, step):
    """Targets, fill, mask rate and the FLOPs behind the MFU, worked out from the listed segments."""
    run = runs / name
    seen = look.describe(run, step)
    (told,) = [found for found in metrics.read(run) if found["step"] == step and "train/loss" in found]
    parts = [part for batch in seen["micro_batches"] for window in batch["windows"] for part in window["documents"]]
    num_tokens = [part["num_tokens"] for part in parts]
    costs = model_flops(rebuild_encoder(run / run_folder.MODEL_CONFIG).config)
    flops = costs.training([count + 2 for count in num_tokens], seen["num_targets"])
    seconds = 8 * 64 / told["speed/tokens_per_s"]
    assert told["speed/mfu"] * 0.5e12 * seconds * num_ranks == pytest.approx(flops, rel=1e-6)
    assert told["data/window_fill"] == pytest.approx(seen["fill"], abs=1e-4)
    assert told["data/mask_rate"] == pytest.approx(seen["num_targets"] / sum(num_tokens))


def test_a_resumed_run_shows_one_line(runs):
    whole, again = events(runs / "two"), events(runs / "again")
    assert set(whole.Tags()["scalars"]) == set(again.Tags()["scalars"])
    for name in whole.Tags()["scalars"]:
        steps = [event.step for event in again.Scalars(name)]
        assert steps == [event.step for event in whole.Scalars(name)], name
    for name in ("train/loss", "heldout/loss/cases"):
        assert [event.value for event in again.Scalars(name)] == [event.value for event in whole.Scalars(name)]
    assert texts(runs / "again") == texts(runs / "two")


def test_prompts_are_answered_at_each_evaluation(runs):
    by_step = texts(runs / "one")
    assert sorted(by_step) == [2, 4]
    header, _, first, second = by_step[4].splitlines()
    assert header == "| prompt | likeliest |"
    assert first.startswith("| Le patient prend de l'&lt;mask>. | ")
    assert len(re.findall(r"\d+\.\d%", first)) == 5 and len(re.findall(r"\d+\.\d%", second)) == 10
    assert r"de la &lt;mask> \| fin" in second


def test_the_page_holds_every_series(runs):
    tensors = events(runs / "again").Tensors(metadata.CONFIG_SUMMARY_TAG)
    patterns = set()
    for tensor in tensors:
        layout = layout_pb2.Layout.FromString(tensor_util.make_ndarray(tensor.tensor_proto).item())
        patterns |= {tag for category in layout.category for chart in category.chart for tag in chart.multiline.tag}
    shown = events(runs / "two").Tags()["scalars"]
    unseen = {name for name in shown if not any(re.match(pattern, name) for pattern in patterns)}
    assert unseen <= {"speed/tflops_device"} | {f"heldout/loss/{source}" for source in SOURCES}
    empty = {pattern for pattern in patterns if not any(re.match(pattern, name) for name in shown)}
    assert empty == {"train/loss_scale", "probe/"}  # fp16 alone, and another process


def test_prompts_that_cannot_be_answered_are_refused(tiny, tmp_path, corpus):
    with pytest.raises(UserError, match=r"prompts number 2 have no <mask>; write it where a word is asked for"):
        built(tiny(tmp_path / "run", evaluation={"prompts": ["<mask>", "rien"]}))
    long = "<mask> de la maladie " * 20
    values = built(tiny(tmp_path / "run", evaluation={"prompts": [long]}))
    with pytest.raises(UserError, match=r"evaluation\.prompts: number 1 has \d+ tokens, the model is trained on 64"):
        preflight.check(values, 1)
    with pytest.raises(UserError, match=r"evaluation\.prompts: number 2 has no <mask> left as the tokenizer reads it"):
        read_prompts(["un <mask>", "rien"], corpus, 64)


def test_a_prompt_is_read_as_transformers_reads_it(corpus):
    prompts = read_prompts(PROMPTS, corpus, 64)
    vocabulary, batch = corpus.vocabulary, prompts.batch
    assert prompts.rows == (0, 1, 1)
    assert batch.input_ids.flatten()[batch.target_positions].tolist() == [vocabulary.mask_id] * 3
    assert (batch.segment_ids > 0).equal(batch.input_ids != vocabulary.pad_id)
    assert batch.cu_seqlens[0] == 0 and batch.cu_seqlens[-1] == batch.input_ids.numel()
