"""The forwarding engine: bytes in, an admitted request out to an upstream, and its answer back."""
