"""Tests of camembert_bio.evaluation."""
