"""Limits: how much of something an address, a user or a key may have; decided in this process, but for guesses."""
