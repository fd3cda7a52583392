import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from camembert_bio import cli, config
from camembert_bio.data.loader import Loader
from camembert_bio.model.flops import model_flops
from camembert_bio.pretrain import activations, memory, plan, plan_table, preflight
from camembert_bio.pretrain.activations import Work
from camembert_bio.pretrain.fitting import parameters_by_part
from camembert_bio.pretrain.plan import Assumptions
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.settings import engine_settings


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A folder in which nothing begins."""
    return tmp_path_factory.mktemp("plan") / "run"


@pytest.fixture(scope="module")
def made():
    """Plans by what is asked, each made once."""
    made = {}

    def make(values, assumed):
        recipe = config.build(Pretrain, values)
        key = json.dumps(values, default=str), assumed
        if key not in made:
            made[key] = plan.plan(recipe, preflight.check(recipe, assumed.world_size), assumed)
        return made[key]

    return make


@pytest.fixture
def phased(tiny, output):
    """A recipe of two phases that differ in all that they may."""
    phases = [
        {"max_steps": 5, "objective": {"kind": "causal"}, "seq_length": 32, "global_batch_size": 16},
        {"max_steps": 40, "objective": {"mlm_probability": 0.4, "final_mlm_probability": 0.2}},
    ]
    values = tiny(output, phases=phases, source_repeats={"cases": 2.5}, precision="bf16", ds_config="zero2")
    del values["schedule"]
    return values


def loaders(recipe, ready):
    """Those of a single rank, one a phase, as the run makes them."""
    repeats = ready.corpus.manifest.repeats(recipe.source_repeats)
    for phase in plan.phases(recipe):
        yield (
            phase,
            Loader(
                ready.corpus,
                seq_length=phase.seq_length,
                seed=recipe.seed,
                global_batch_size=phase.global_batch_size,
                micro_batch_size=phase.micro_batch_size,
                rank=0,
                world_size=1,
                mlm_probability=phase.mlm_probability,
                objective=phase.objective.kind,
                first_step=phase.first_step,
                first_sample=phase.first_sample,
                repeats=repeats,
            ),
        )


def test_flops_and_epochs_are_those_of_the_batches(phased, made):
    told = made(phased, Assumptions(world_size=2, device="A100-80"))
    recipe = config.build(Pretrain, phased)
    ready = preflight.check(recipe, 2)
    costs = model_flops(ready.encoder.config)
    for (phase, loader), phase_told in zip(loaders(recipe, ready), told["phases"], strict=True):
        flops, seen = 0, np.zeros(len(loader.table.sources))
        for step in range(phase.first_step, phase.end_step):
            for batch in loader.batch(step):
                bounds = batch.cu_seqlens.numpy()
                is_text = batch.segment_ids.numpy().reshape(-1)[bounds[:-1]] > 0
                flops += costs.training(np.diff(bounds)[is_text], batch.num_targets, phase.objective.kind == "causal")
                seen += np.bincount(batch.sources.numpy(), minlength=len(seen))
        assert phase_told["flops"] == pytest.approx(flops, rel=0.05)
        windows = np.diff(loader.table.source_offsets)
        assert list(phase_told["epochs"].values()) == pytest.approx((seen / windows).tolist(), rel=0.25)
    assert told["flops"] == sum(phase["flops"] for phase in told["phases"])
    assert (told["steps"], told["tokens"]) == (45, 5 * 16 * 32 + 40 * 8 * 64)
    assert [phase["gradient_accumulation_steps"] for phase in told["phases"]] == [4, 2]


def test_hours_and_emissions_follow_from_the_factors_shown(phased, made):
    told = made(phased, Assumptions(world_size=2, device="A100-80"))
    (device,) = told["devices"]
    hours = told["flops"] / (2 * 312e12 * 0.4) / 3600
    assert device["hours"] == pytest.approx(hours)
    assert device["kwh"] == pytest.approx(hours * 2 * 0.4 * 1.58)
    assert device["kg_co2e"]["France"] == pytest.approx(device["kwh"] * 0.0217)


def test_the_plan_reads_as_tables_with_every_factor(phased, made):
    told = made(phased, Assumptions(world_size=2, device="A100-80"))
    text = plan_table.text(told)
    for part in ("ranks: 2", "causal", "cases", "A100-80: 400 W, 312 TFLOP/s", "MFU 0.4", "PUE 1.58", "France 21.7"):
        assert part in text, text
    assert [row["stage"] for row in told["memory"]["stages"]] == [1, 2, 3]  # 16 bits have no stage 0
    assert "\n2 *" in text
    json.dumps(told)


def test_a_device_that_lacks_the_precision_has_no_hours(tiny, output, made):
    told = made(tiny(output, precision="bf16"), Assumptions(1, device="V100-16"))
    assert told["devices"][0]["hours"] is None
    assert "no bf16" in plan_table.text(told)


def test_a_cpu_has_hours_when_its_peak_is_stated(tiny, output, made):
    values = tiny(output, device_peak_tflops=0.1)
    told = made(values, Assumptions(1, device="cpu"))
    assert told["devices"][0]["hours"] == pytest.approx(told["flops"] / 1e11 / 0.4 / 3600)
    assert told["devices"][0]["kwh"] is None


def test_the_largest_micro_batch_fits_and_the_next_does_not(tiny, output, monkeypatch, made):
    values = tiny(output, global_batch_size=1024, seq_length=64)
    (row,) = made(values, Assumptions(1, device="L4"))["devices"]
    assert row["largest_micro_batch"] == [1024]
    recipe = config.build(Pretrain, values)
    ready = preflight.check(recipe, 1)

    def peak(rows):
        work = Work(rows, 64, round(0.15 * rows * 64), "fp32", "masked")
        encoder = ready.encoder
        total = parameters_by_part(encoder)["total"]
        layout = memory.Layout(total, 2 * total, 1, "fp32", 1024 // rows, False)
        return memory.stage_memory(
            activations.trace(encoder.config, work), layout, engine_settings(recipe)["zero_optimization"]
        ).peak

    device = replace(plan.devices.find_device("L4"), memory_gb=1.02 * peak(256) / 1e9)
    monkeypatch.setattr(plan.devices, "DEVICES", (device,))
    told = plan.plan(recipe, ready, Assumptions(1, device="L4"))
    assert told["devices"][0]["largest_micro_batch"] == [256] and peak(512) > device.memory_gb * 1e9


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--mfu", "0", "'0' is not a number above 0, up to 1"),
        ("--mfu", "45%", "'45%' is not a number above 0, up to 1"),
        ("--pue", "0.9", "'0.9' is not a number from 1 to 10"),
    ],
)
def test_factors_that_cannot_be_are_refused(option, value, message, capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(["check", "demo", option, value])
    assert raised.value.code == 2 and message in capsys.readouterr().err


def test_check_prints_the_plan(tiny, output, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"pretrain": tiny(output)}))
    command = [sys.executable, "-m", "camembert_bio", "check", str(recipe), "--device", "l4", "--world-size", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "nothing stands against it; the run is new" in done.stdout and "L4: 72 W" in done.stdout
    assert subprocess.run([*command[:6], "l5"], capture_output=True, check=False, timeout=120).returncode == 2
