"""Batches to a run: DeepSpeed engine, loop, checkpoints, export."""
