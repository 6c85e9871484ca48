"""Makes the secret files that config/compose.yaml names, below .data/compose; keeps those that exist.

    make compose-secrets

No password is fixed and none is committed: the one user, alice, gets a random password. Its hash goes into users.yaml,
the password itself into a file beside it, for whoever wants to log in.
"""

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.users.passwords import Hasher

_USERS = """\
# Made by make compose-secrets; `password` is an argon2id hash.
users:
  alice: {{password: "{hash}", roles: [user]}}
"""


def make(folder: Path) -> None:
    """Fill *folder*."""
    # Compose mounts each file as it is, so it must be readable for the container's user: the folder keeps others out.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)

    def keep(name: str, content: Callable[[], str]) -> str:
        file = folder / name
        if not file.exists():
            fresh = file.with_suffix(".new")
            fresh.write_text(content(), encoding="utf-8")
            fresh.chmod(0o644)
            os.replace(fresh, file)
        return file.read_text(encoding="utf-8").strip()

    keep("gateway_secret", lambda: secrets.token_urlsafe(48))
    keep("store_password", lambda: secrets.token_urlsafe(32))
    password = keep("alice_password", lambda: secrets.token_urlsafe(12))
    keep("users.yaml", lambda: _USERS.format(hash=Hasher().hash(password)))


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else ".data/compose")
    make(where)
    print(f"{where}: gateway_secret, store_password, users.yaml; alice's password is in alice_password")
