"""Is the gateway beside us ready? Asked with the standard library alone, in a few milliseconds.

The running gateway leaves the address of its admin listener in the data directory; GATEWAY_ADMIN_LISTEN overrides it.
"""

import http.client
import os
import sys
from pathlib import Path

_DEFAULT = "127.0.0.1:9901"


def address() -> str:
    """Return host:port of the admin listener."""
    given = os.environ.get("GATEWAY_ADMIN_LISTEN")
    if given is None and (folder := os.environ.get("GATEWAY_DATA_DIR")):
        try:
            given = Path(folder, "admin_address").read_text().strip()
        except OSError:
            given = None
    host, _, port = (given or _DEFAULT).rpartition(":")
    return f"{'127.0.0.1' if host in ('0.0.0.0', '', '[::]') else host}:{port}"  # noqa: S104 - replaced, not bound


def check(timeout: float = 2.0) -> int:
    """Print what /readyz says; return 0 when the gateway is ready, else 1."""
    where = address()
    connection = http.client.HTTPConnection(where, timeout=timeout)
    try:
        connection.request("GET", "/readyz?verbose")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        sys.stdout.write(f"no gateway at {where}: {why.lower()}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1
