"""One configuration, and the verbs that work on it."""

import os
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli import cli

CONFIG = """\
version: 1
server: {public_url: "${URL:-https://api.example.com}", secret_file: secret}
store: {url: "${STORE:-redis://:hunter2@127.0.0.1:1/0}"}
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}}
upstreams: {app: "http://127.0.0.1:1", web: "http://127.0.0.1:1"}
routes:
  - {path: /open, to: web, auth: public, methods: [GET]}
  - path: /orders/{id}
    to: app
    methods: {GET: {roles: [user]}, DELETE: {roles: [admin]}}
tests:
  - {as: anonymous, call: GET /open, expect: allow}
  - {as: ana, call: DELETE /orders/7, expect: role_missing}
  - {as: {roles: [admin], mfa: true}, call: DELETE /orders/7, expect: allow}
  - {as: user, call: PUT /orders/7, expect: 405}
"""
USERS = (
    "users:\n  ana: {password: '$argon2id$v=19$m=19456,t=2,p=1$8cPUyuUZHGCy7cn0nk6q4w$"
    "m0wsDXW1mFKV2QdIUmyWwEnEnw1TQ5AAhYgTqiFg1Pw', roles: [user]}\n"
    "  root: {password: '$argon2id$v=19$m=19456,t=2,p=1$8cPUyuUZHGCy7cn0nk6q4w$"
    "m0wsDXW1mFKV2QdIUmyWwEnEnw1TQ5AAhYgTqiFg1Pw', roles: [admin]}\n"
)


class Shell:
    """One configuration, and the verbs that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "gateway.yaml"
        self.write(CONFIG)
        (folder / "users.yaml").write_text(USERS)
        (folder / "secret").write_text(os.urandom(32).hex())
        (folder / "secret").chmod(0o600)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def run(self, *words: str, stdin: str = "", **environ: str) -> Result:
        unset = {name: None for name in os.environ if name.startswith("GATEWAY_")}
        given = {**unset, "GATEWAY_DATA_DIR": str(self.folder / "data"), **environ}
        return CliRunner().invoke(cli, [*words, "-c", str(self.path)], input=stdin, env=given)

    def good(self, *words: str, **environ: str) -> str:
        result = self.run(*words, **environ)
        assert result.exit_code == 0, result.output
        return result.stdout.replace(f"{self.folder}/", "")
