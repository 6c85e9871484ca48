"""Tokens: the keys they are signed with, how one is issued, and how any bytes whatsoever are judged."""
