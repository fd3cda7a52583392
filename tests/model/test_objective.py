import copy

import pytest
import torch
from families import TYPES, write_model
from torch._dynamo.testing import CompileCounter
from transformers import AutoModelForMaskedLM

from camembert_bio.data.loader import Loader
from camembert_bio.model import objective as objectives
from camembert_bio.model.encoder import build_encoder, load_encoder
from camembert_bio.model.objective import PackedLM

from .conftest import OPTIONS

LENGTHS = (20, 3, 30)
PAD = 1


def packed_row(lengths=LENGTHS, row_length=64):
    """Ids [1, L], bounds and positions [1, L] of segments side by side, then padding."""
    generator = torch.Generator().manual_seed(3)
    ids, positions, bounds = torch.full((1, row_length), PAD), torch.zeros((1, row_length), dtype=torch.int64), [0]
    for length in lengths:
        place = slice(bounds[-1], bounds[-1] + length)
        ids[0, place] = torch.randint(7, 119, (length,), generator=generator)
        positions[0, place] = torch.arange(length)
        bounds.append(place.stop)
    if bounds[-1] < row_length:
        bounds.append(row_length)
    return ids, torch.tensor(bounds, dtype=torch.int32), positions


def stock(encoder):
    """transformers' own model with the same weights."""
    config = copy.deepcopy(encoder.config)  # from_config writes the implementation into the one that it is given
    plain = AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa").eval()
    plain.load_state_dict(encoder.state_dict())
    return plain


def of_batch(batch):
    """The arguments of the objective."""
    names = ("input_ids", "cu_seqlens", "position_ids", "target_positions", "target_labels", "causal")
    return [getattr(batch, name) for name in names]


def gradients(module):
    taken = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return taken


def test_a_packed_segment_has_the_logits_that_it_has_alone(encoder):
    ids, bounds, positions = packed_row()
    objective, plain = PackedLM(encoder), stock(encoder)
    with torch.no_grad():
        together = objective.logits(ids, bounds, positions, torch.arange(64))
        first = 0
        for length in LENGTHS:
            alone = plain(ids[:, first : first + length]).logits[0]  # transformers' own attention and positions
            torch.testing.assert_close(together[first : first + length], alone, rtol=1e-5, atol=1e-5)
            first += length


def test_another_segment_of_the_row_changes_nothing(encoder):
    ids, bounds, positions = packed_row()
    other = ids.clone()
    other[0, 20:23] = torch.tensor([9, 10, 11])
    objective, places = PackedLM(encoder), torch.arange(64)
    with torch.no_grad():
        before = objective.logits(ids, bounds, positions, places)
        after = objective.logits(other, bounds, positions, places)
    assert torch.equal(before[:20], after[:20]) and torch.equal(before[23:], after[23:])
    assert not torch.allclose(before[20:23], after[20:23], atol=1e-3)


def test_the_sparse_loss_is_transformers_masked_lm_loss(encoder):
    ids, bounds, positions = packed_row((64,))
    places = torch.tensor([2, 3, 17, 40, 63])
    labels = torch.full((1, 64), -100)
    labels[0, places] = torch.tensor([8, 50, 51, 100, 7])
    with torch.no_grad():
        theirs = stock(encoder)(ids, labels=labels).loss
        ours = PackedLM(encoder)(ids, bounds, positions, places, labels[0, places])
    assert float(ours) / len(places) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_to_predict_gives_a_loss_of_zero_and_gradients_of_zero(encoder, causal):
    ids, bounds, positions = packed_row()
    none = torch.empty(0, dtype=torch.int64)
    loss = PackedLM(encoder)(ids, bounds, positions, none, none, causal)
    loss.backward()
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(encoder).values())
    loss = PackedLM(encoder)(ids, bounds, positions, none, none, causal)
    loss.backward()
    assert encoder.get_input_embeddings().weight.grad is not None


@pytest.mark.parametrize(
    ("model_type", "compiled"),
    [*((model_type, False) for model_type in TYPES), ("camembert", True), ("modernbert", True)],
)
def test_the_causal_phase_never_sees_the_future(model_type, compiled, tmp_path):
    """The gradient of one position's loss by the embeddings: none after it, none of other segments, some before."""
    encoder = load_encoder(write_model(model_type, tmp_path)).eval()
    ids, bounds, positions = packed_row()
    seen = []
    encoder.get_input_embeddings().register_forward_hook(lambda *values: seen.append(values[2]))
    objective = torch.compile(PackedLM(encoder), backend="eager") if compiled else PackedLM(encoder)
    for first, place in ((0, 0), (0, 13), (20, 21), (23, 23), (23, 44)):
        loss = objective(ids, bounds, positions, torch.tensor([place]), ids[0, [place + 1]], True)
        (gradient,) = torch.autograd.grad(loss, seen.pop())
        by_place = gradient[0].abs().amax(-1)
        assert not by_place[:first].any() and not by_place[place + 1 :].any()
        reach = place - first + 1 if model_type != "modernbert" else min(place - first + 1, 4)
        assert (by_place[place + 1 - reach : place + 1] > 0).all()


def test_causal_and_masked_attention_differ(encoder):
    ids, bounds, positions = packed_row()
    with torch.no_grad():
        masked, causal = (PackedLM(encoder).logits(ids, bounds, positions, torch.arange(64), c) for c in (False, True))
    # The last position of a segment sees the whole of it either way, but through layers that did not.
    assert not torch.allclose(masked[:19], causal[:19], atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_a_head_in_chunks_has_the_loss_and_the_gradients_of_the_whole_one(corpus, training, monkeypatch):
    encoder = build_encoder(OPTIONS, len(corpus.vocabulary.pieces), seed=1).eval()
    objective = PackedLM(encoder)
    (batch,) = Loader(corpus, 64, 0, 4, 4, 0, 1, 0.15, objective="causal").batch(0)
    assert batch.causal and batch.num_targets > 200
    with torch.set_grad_enabled(training):
        whole = objective(*of_batch(batch))
    if training:
        whole.backward()
    expected = gradients(encoder)
    heads, largest = 0, 0

    def count(module, args, output):
        nonlocal heads, largest
        heads, largest = heads + 1, max(largest, output.numel())

    encoder.lm_head.register_forward_hook(count)
    bound = 50 * encoder.config.vocab_size
    monkeypatch.setattr(objectives, "MAX_LOGITS", bound)
    with torch.set_grad_enabled(training):
        chunked = objective(*of_batch(batch))
    assert chunked.item() == pytest.approx(whole.item(), rel=1e-6)
    if training:
        chunked.backward()
    assert heads == 6 * (1 + training) and largest <= bound  # 256 positions, 50 at once, again in the backward pass
    for name, gradient in gradients(encoder).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_the_loss_is_summed_in_fp32_whatever_the_precision(encoder):
    encoder = encoder.to(torch.bfloat16)
    ids, bounds, positions = packed_row()
    places, labels = torch.arange(20), torch.arange(30, 50)
    loss = PackedLM(encoder)(ids, bounds, positions, places, labels)
    logits = PackedLM(encoder).logits(ids, bounds, positions, places).double()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("compiled", [False, True], ids=["by segment", "mask"])
def test_activation_checkpointing_changes_no_gradient(compiled, corpus):
    (batch,) = Loader(corpus, 64, 0, 2, 2, 0, 1, 0.3).batch(0)
    rate = 0.0 if compiled else 0.1  # compiled, the two models draw other numbers
    options = {**OPTIONS, "num_hidden_layers": 1, "attention_probs_dropout_prob": rate, "hidden_dropout_prob": rate}
    taken = []
    for checkpointing in (False, True):
        encoder = build_encoder(options, len(corpus.vocabulary.pieces), seed=1).train()
        if checkpointing:
            encoder.gradient_checkpointing_enable({"use_reentrant": False})
        objective = torch.compile(PackedLM(encoder), backend="eager") if compiled else PackedLM(encoder)
        torch.manual_seed(7)
        objective(*of_batch(batch)).backward()
        taken.append(gradients(encoder))
    for name, gradient in taken[1].items():
        torch.testing.assert_close(gradient, taken[0][name], rtol=1e-6, atol=1e-7)


def test_a_phase_is_compiled_at_most_once_more_than_once(corpus):
    """Batches differ in segments and targets; their lengths become symbols at the second batch, and stay."""
    options = {**OPTIONS, "num_hidden_layers": 1}
    encoder = build_encoder(options, len(corpus.vocabulary.pieces), seed=1).train()
    counter = CompileCounter()
    torch._dynamo.reset()
    objective = torch.compile(PackedLM(encoder), backend=counter)
    phases = (("masked", 64, 2), ("causal", 64, 4), ("masked", 32, 6), ("masked", 64, 6))
    for phase, seq_length, most in phases:
        loader = Loader(corpus, seq_length, 0, 4, 4, 0, 1, 0.15, objective=phase)
        batches = [loader.batch(step)[0] for step in range(4)]
        assert len({len(batch.cu_seqlens) for batch in batches}) > 1 and len({b.num_targets for b in batches}) > 1
        for batch in batches:
            objective(*of_batch(batch)).backward()
        assert counter.frame_count <= most, "a phase of a shape that was there before needs no other graph"
