"""Noticing that the other side is gone without a word: cut off, crashed, or forgotten by a firewall.

Where there is a deadline it ends such a connection anyway; this is for streams and tunnels that may be silent for ever.
"""

import socket

IDLE, INTERVAL, COUNT = 60, 15, 4
"""Seconds of silence before the kernel asks, seconds between two questions, and how many go unanswered."""


def stay_alive(sock: socket.socket) -> None:
    """Let the kernel ask for a sign of life on *sock*, or on every connection accepted on it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", IDLE), ("TCP_KEEPINTVL", INTERVAL), ("TCP_KEEPCNT", COUNT)):
        if hasattr(socket, name):  # not everywhere the same
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
