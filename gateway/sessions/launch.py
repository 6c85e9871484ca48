"""Runs a program that must not outlive the gateway. Started as a script of its own, with nothing but the stdlib.

    launch.py PARENT_PID PROGRAM ARGUMENT...

On Linux the kernel is asked to send SIGTERM when the parent is gone, and then this process becomes the program. The
request survives `execve`, and it is made here because making it between fork and exec of a process that has threads
(preexec_fn) can deadlock. Elsewhere this process stays, and its standard input is the parent's lifeline: when the pipe
closes, whatever the reason, the program is told to stop.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(arguments: Sequence[str], *, has_death_signal: bool) -> int:
    """Become or guard the program; return its exit status if it comes to that."""
    parent, program, *rest = arguments
    environment = {"PATH": os.defpath, "LC_ALL": "C"}  # the gateway's own may hold secrets
    if has_death_signal:
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            return 71  # EX_OSERR
        if os.getppid() != int(parent):
            return 0  # the parent died before the kernel knew of our wish
        os.execve(program, [program, *rest], environment)  # noqa: S606 - no shell is meant
    return _guard([program, *rest], environment)


def _guard(command: Sequence[str], environment: dict[str, str]) -> int:
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())

    def on_child(*_: object) -> None:
        if (status := child.poll()) is not None:
            os._exit(status if status >= 0 else 128 - status)

    signal.signal(signal.SIGCHLD, on_child)
    on_child()
    while os.read(0, 1):
        pass
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child.terminate()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], has_death_signal=sys.platform == "linux"))
