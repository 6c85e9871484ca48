"""Outbound: every HTTP call the gateway makes on its own account, and the probes that use it."""
