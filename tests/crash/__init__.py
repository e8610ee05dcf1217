"""Processes that are killed on purpose: a preloaded server forks them, so that each costs milliseconds."""
