from camembert_bio.model.parameters import decay_groups


def test_every_parameter_stands_in_one_group_and_biases_and_norms_do_not_decay(encoder):
    names = {parameter: name for name, parameter in encoder.named_parameters()}
    matrices, rest = decay_groups(encoder, 0.01)
    assert (matrices["weight_decay"], rest["weight_decay"]) == (0.01, 0.0)
    assert sorted(names[parameter] for group in (matrices, rest) for parameter in group["params"]) == sorted(
        names.values()
    )
    for parameter in rest["params"]:
        assert names[parameter].endswith("bias") or "LayerNorm" in names[parameter] or "layer_norm" in names[parameter]
    assert not any(names[parameter].endswith("bias") for parameter in matrices["params"])


def test_what_is_not_trained_is_in_no_group(encoder):
    embeddings = encoder.get_input_embeddings().weight
    embeddings.requires_grad_(False)
    assert all(parameter is not embeddings for group in decay_groups(encoder, 0.1) for parameter in group["params"])
