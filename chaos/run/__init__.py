"""Carrying an experiment out: the spine, the journal, recovery."""
