"""Acquisition functions and the search for their maximisers."""
