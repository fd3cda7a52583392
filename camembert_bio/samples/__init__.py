"""Generators of synthetic French text of our own writing."""
