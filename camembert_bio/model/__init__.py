"""Encoders and their training objectives."""
