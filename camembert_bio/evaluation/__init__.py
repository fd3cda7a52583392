"""Model folders to scores: corpora, alignment, fine-tuning, metrics, report."""
