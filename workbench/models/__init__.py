"""Surrogate models of the record."""
