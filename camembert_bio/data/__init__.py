"""Shards and a step number to batches of tensors."""
