"""Continual pretraining of French biomedical encoders, and the harness that scores them."""

__version__ = "0.1.0"
