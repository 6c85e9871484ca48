"""Verbs of the command line with rooms of their own: what `gateway keys` and `gateway token` do."""
