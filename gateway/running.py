"""The verb `run`: the gateway in the foreground, on uvloop, with a banner; and the demo upstream beside it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvloop

from gateway.app import Gateway
from gateway.banner import banner
from gateway.config.load import load

DEMO_UPSTREAM = "GATEWAY_DEMO_UPSTREAM"
"""The variable by which `gateway.yaml` finds the demo upstream."""


def run(path: Path, *, demo: bool) -> None:
    """Run until told to stop.

    Raises:
        ConfigError: the configuration cannot be used, or what it asks for cannot be had.
    """
    environ = dict(os.environ)
    with contextlib.ExitStack() as exits:
        if demo and DEMO_UPSTREAM not in environ:
            environ[DEMO_UPSTREAM] = exits.enter_context(demo_upstream())
        config = load(path, environ)
        gateway = Gateway(config, environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(gateway, path, environ, demo=demo))


async def _run(gateway: Gateway, path: Path, environ: Mapping[str, str], *, demo: bool) -> None:
    await gateway.start()
    try:
        for line in banner(gateway, path, environ if demo else {}):
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
        await gateway.serve()
    finally:
        await gateway.stop()


@contextlib.contextmanager
def demo_upstream() -> Iterator[str]:
    """Run the demo upstream as a process of its own; yields its URL.

    The listening socket is made here and inherited, so requests may come before the process is ready to take them,
    and starting it costs no waiting. It carries a parent-death signal, and ends with this process however that ends.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "gateway.endpoints.demo", "--fd", str(listener.fileno()), "--die-with-parent"],
            pass_fds=(listener.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the gateway, which ends it in order
        )
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
