"""The house put together: the only room where objects are made and joined, started and stopped."""

from gateway.app.gateway import Gateway

__all__ = ["Gateway"]
