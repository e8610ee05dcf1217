"""Samplers: from the record to the next trials."""
