import json
import time

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from camembert_bio.model.flops import ModelFlops
from camembert_bio.pretrain import metrics
from camembert_bio.pretrain.interval import STEP, Interval, Step
from camembert_bio.pretrain.metrics import Metrics


def test_points_past_the_checkpoint_are_dropped(tmp_path):
    points = [{"step": step, "tokens": 1} for step in (1, 2, 3)]
    (tmp_path / metrics.METRICS).write_text("".join(json.dumps(p) + "\n" for p in points) + '{"step": 4, "to')
    Metrics(tmp_path, 2, 10).close()
    assert [point["step"] for point in metrics.read(tmp_path)] == [1, 2]


def write(run, first, last, loss):
    """A process that goes on after step `first` and is killed after `last`: it closes nothing.

    It starts in a second of its own, as processes do: TensorBoard orders what they write by the second.
    """
    started = int(time.time())
    while int(time.time()) == started:
        time.sleep(0.01)
    opened = Metrics(run, first, 10)
    for step in range(first + 1, last + 1):
        opened.write(step, step, {"train/loss": loss})
    return opened


def test_tensorboard_shows_each_step_once_after_kills(tmp_path):
    killed = [write(tmp_path, 0, 3, 1.0), write(tmp_path, 0, 4, 2.0), write(tmp_path, 2, 3, 3.0)]
    events = EventAccumulator(str(tmp_path / metrics.TENSORBOARD))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("train/loss")] == [(1, 2.0), (2, 2.0), (3, 3.0)]
    for opened in killed:
        opened.close()


def test_steps_without_a_target_draw_no_loss(tmp_path, caplog):
    seen = Interval(ModelFlops(1, 1, 1, 1, 0, 0))
    with seen.timed(STEP):
        seen.add(Step(0.0, 0.0, True, 64, 0.0, 1e-3, False, None))
    scalars = seen.scalars([seen.share({}, torch.device("cpu"))], peak_flops=None)
    assert "train/loss" not in scalars and scalars["train/learning_rate"] == 1e-3
    curves = Metrics(tmp_path, 0, 2)
    with caplog.at_level("INFO", logger="camembert_bio"):
        curves.say(1, scalars)
    curves.close()
    assert "step 1/2  no targets  " in caplog.text
