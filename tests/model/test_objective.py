import pytest
import torch
from transformers import AutoModelForMaskedLM

from camembert_bio.model.objective import MaskedLM
from camembert_bio.model.packed_attention import segment_mask

LENGTHS = (20, 3, 30)
PAD = 1


def packed_row(lengths=LENGTHS, row_length=64):
    """Ids, segments and positions [1, L] of segments side by side, then padding."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((1, row_length), PAD)
    segments, positions = torch.zeros_like(ids), torch.zeros_like(ids)
    first = 0
    for number, length in enumerate(lengths, start=1):
        place = slice(first, first + length)
        ids[0, place] = torch.randint(7, 119, (length,), generator=generator)
        segments[0, place], positions[0, place] = number, torch.arange(length)
        first += length
    return ids, segments, positions


def test_a_packed_segment_has_the_logits_that_it_has_alone(encoder):
    ids, segments, positions = packed_row()
    objective = MaskedLM(encoder)
    with torch.no_grad():
        together = objective.logits(ids, segments, positions, torch.arange(64))
        plain = AutoModelForMaskedLM.from_config(encoder.config, attn_implementation="sdpa").eval()
        plain.load_state_dict(encoder.state_dict())
        first = 0
        for length in LENGTHS:
            alone = plain(ids[:, first : first + length]).logits[0]  # transformers' own attention and positions
            torch.testing.assert_close(together[first : first + length], alone, rtol=1e-5, atol=1e-5)
            first += length


def test_another_segment_of_the_row_changes_nothing(encoder):
    ids, segments, positions = packed_row()
    other = ids.clone()
    other[0, 20:23] = torch.tensor([9, 10, 11])
    objective, places = MaskedLM(encoder), torch.arange(64)
    with torch.no_grad():
        before = objective.logits(ids, segments, positions, places)
        after = objective.logits(other, segments, positions, places)
    assert torch.equal(before[:20], after[:20]) and torch.equal(before[23:], after[23:])
    assert not torch.allclose(before[20:23], after[20:23], atol=1e-3)


def test_the_sparse_loss_is_transformers_masked_lm_loss(encoder):
    ids, segments, positions = packed_row((64,))
    places = torch.tensor([2, 3, 17, 40, 63])
    labels = torch.full((1, 64), -100)
    labels[0, places] = torch.tensor([8, 50, 51, 100, 7])
    plain = AutoModelForMaskedLM.from_config(encoder.config, attn_implementation="sdpa").eval()
    plain.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        theirs = plain(ids, labels=labels).loss
        ours = MaskedLM(encoder)(ids, segments, positions, places, labels[0, places])
    assert float(ours) / len(places) == pytest.approx(float(theirs), rel=1e-5)


def test_nothing_masked_gives_a_loss_of_zero_and_gradients_of_zero(encoder):
    ids, segments, positions = packed_row()
    none = torch.empty(0, dtype=torch.int64)
    loss = MaskedLM(encoder)(ids, segments, positions, none, none)
    loss.backward()
    assert loss.item() == 0
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)
    assert encoder.get_input_embeddings().weight.grad is not None


def test_the_mask_separates_segments_and_padding():
    mask = segment_mask(torch.tensor([[1, 1, 2, 0]]))
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert mask.shape == (1, 1, 4, 4) and mask[0, 0].int().tolist() == expected


def test_attention_without_segments_is_refused(encoder):
    with pytest.raises(ValueError, match="needs segment_mask"):
        encoder(torch.tensor([[5, 10, 6]]))
