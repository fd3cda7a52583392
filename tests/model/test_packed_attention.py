"""Every way of computing packed attention against one written down position by position, in float64."""

import itertools
import math

import pytest
import torch

from camembert_bio.model import packed_attention as packed
from camembert_bio.model.packed_attention import Segments, method, packed_attention

ROWS, HEADS, LENGTH, SIZE = 2, 3, 16, 8
BOUNDS = (0, 5, 6, 14, 16, 16 + 9, 32)
"""Two rows: segments of 5, 1 and 8 and two of padding; segments of 9 and 7."""


def inputs(dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    shape = (3, ROWS, LENGTH, HEADS, SIZE)
    drawn = torch.randn(shape, generator=generator).to(dtype)
    return [x.transpose(1, 2).detach().requires_grad_() for x in drawn]


def segments(causal=False):
    return Segments(torch.tensor(BOUNDS, dtype=torch.int32), causal)


def reference(query, key, value, causal, window, scale):
    """[B, L, N, H] by the definition."""
    context = torch.zeros(ROWS, LENGTH, HEADS, SIZE, dtype=query.dtype)
    for first, end in itertools.pairwise(BOUNDS):
        row = first // LENGTH
        for place in range(first, end):
            seen = [
                other
                for other in range(first, end)
                if (not causal or other <= place) and (window is None or abs(place - other) < window)
            ]
            here, there = place - row * LENGTH, [other - row * LENGTH for other in seen]
            for head in range(HEADS):
                scores = key[row, head, there] @ query[row, head, here] * scale
                context[row, here, head] = scores.softmax(0) @ value[row, head, there]
    return context


MASKED = torch.compile(packed_attention, backend="eager", fullgraph=True)
"""A compiled graph takes the mask."""


@pytest.mark.parametrize("compute", [packed_attention, MASKED], ids=["by segment", "mask"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3, 100])
def test_context_and_gradients_are_those_of_the_definition(compute, causal, window):
    given, wanted = inputs(), inputs(torch.float64)
    context, weights = compute(None, *given, None, scaling=0.3, segments=segments(causal), sliding_window=window)
    expected = reference(*wanted, causal, window, 0.3)
    assert weights is None and context.is_contiguous()
    torch.testing.assert_close(context, expected.float())
    generator = torch.Generator().manual_seed(6)
    upstream = torch.randn(context.shape, generator=generator)
    context.backward(upstream)
    expected.backward(upstream.double())
    for ours, theirs in zip(given, wanted, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad.float())


def test_the_scale_is_that_of_the_head_when_none_is_given():
    context, _ = packed_attention(None, *inputs(), None, segments=segments())
    same, _ = packed_attention(None, *inputs(), None, segments=segments(), scaling=1 / math.sqrt(SIZE))
    assert torch.equal(context, same)


def test_the_method_on_cpu_depends_on_compilation_alone():
    query = inputs()[0]
    assert method(query, 0.0) == method(query, 0.1) == "by segment"
    assert torch.compile(lambda x: x + (method(x, 0.0) == "mask"), backend="eager")(torch.zeros(1, 1, 1, 1)).item() == 1


def test_dropout_keeps_the_expectation_and_drops_at_its_rate():
    torch.manual_seed(0)
    weights = torch.ones(1_000_003, requires_grad=True)
    dropped = packed._dropped(weights, 0.1)
    # Five standard deviations of a binomial's share.
    assert (dropped == 0).double().mean().item() == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / 1e6))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.9], rel=1e-4)
    dropped.sum().backward()
    assert torch.equal(weights.grad, dropped)
    # Neighbours share a drawn word: they must not share a fate.
    both = ((dropped[:-1] == 0) & (dropped[1:] == 0)).double().mean().item()
    assert both == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / 1e6))
    assert torch.equal(packed._dropped(torch.ones(10), 0.0), torch.ones(10))


def test_dropout_is_torchs_generators_and_applies_to_the_weights():
    contexts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        contexts.append(packed_attention(None, *inputs(), None, dropout=0.5, segments=segments())[0])
    assert torch.equal(contexts[0], contexts[1]) and not torch.equal(contexts[0], contexts[2])
    # A segment of one position has one weight, 1: it is doubled or dropped, head by head.
    alone, value = contexts[0][0, 5], inputs()[2][0, :, 5]
    ratios = (alone / value).mean(-1)
    assert set(ratios.round(decimals=3).tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3])
def test_varlen_gives_the_kernel_what_its_documentation_asks(causal, window, monkeypatch):
    """The kernel itself needs a GPU; here a reading of its documentation stands for it."""

    def by_documentation(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size):
        assert cu_seq_q is cu_seq_k and cu_seq_q.dtype == torch.int32 and cu_seq_q[-1] == len(query)
        assert max_q == max_k >= cu_seq_q.diff().max()
        left, right = (LENGTH if reach < 0 else reach for reach in window_size)
        flat = torch.zeros_like(query)
        for first, end in itertools.pairwise(cu_seq_q.tolist()):
            for place in range(first, end):
                seen = slice(max(first, place - left), min(end, place + right + 1))
                scores = torch.einsum("nh,mnh->nm", query[place], key[seen]) * scale
                flat[place] = torch.einsum("nm,mnh->nh", scores.softmax(-1), value[seen])
        return flat

    monkeypatch.setattr(packed, "varlen_attn", by_documentation)
    given = inputs(torch.float64)
    flat = [x.transpose(1, 2).flatten(0, 1) for x in given]
    context = packed._varlen(*flat, segments(causal), LENGTH, window, 0.3).unflatten(0, (ROWS, LENGTH))
    torch.testing.assert_close(context, reference(*given, causal, window, 0.3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3])
def test_varlen_on_a_gpu(causal, window):
    given = [x.detach().to("cuda", torch.bfloat16).requires_grad_() for x in inputs()]
    bounds = Segments(torch.tensor(BOUNDS, dtype=torch.int32, device="cuda"), causal)
    assert (method(given[0], 0.0), method(given[0], 0.1), method(given[0].float(), 0.0)) == ("varlen", "mask", "mask")
    context, _ = packed_attention(None, *given, None, scaling=0.3, segments=bounds, sliding_window=window)
    wanted = inputs(torch.float64)
    expected = reference(*wanted, causal, window, 0.3)
    torch.testing.assert_close(context.cpu().double(), expected, rtol=0.02, atol=0.02)
    context.backward(torch.ones_like(context))
    expected.backward(torch.ones_like(expected))
    for ours, theirs in zip(given, wanted, strict=True):
        torch.testing.assert_close(ours.grad.cpu().double(), theirs.grad, rtol=0.05, atol=0.05)


def test_attention_without_segments_is_refused(encoder):
    with pytest.raises(ValueError, match="needs segments; call the encoder through"):
        encoder(torch.tensor([[5, 10, 6]]))
