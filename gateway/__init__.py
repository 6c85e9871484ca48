"""A gateway that logs people in, issues JWTs, checks them on every request and forwards what is allowed."""

__version__ = "0.1.0"
