"""`gateway init`: a first configuration that passes `gateway check`, to be changed by hand."""

import sys
from pathlib import Path

import rich_click as click

from gateway.commands.option import guarded
from gateway.errors import ConfigError

GATEWAY = """\
# yaml-language-server: $schema=gateway.schema.json
#
# `gateway check` lists every mistake; `gateway run` serves it; a change is taken up by itself.
version: 1

# Where to listen. For other machines than this one also set public_url (when something in front does TLS) or tls.
server:
  listen: "${GATEWAY_LISTEN:-127.0.0.1:8080}"

# Who may log in: POST /auth/login, /auth/refresh, /auth/logout.
login: {verify: {file: users.yaml}}

# Every role that is used anywhere. Who is admin is user, too.
roles:
  user: {}
  admin: {includes: [user]}

# The services behind the gateway.
upstreams:
  app: http://127.0.0.1:8000

# Who may ask for what. The most specific route wins. Without `auth` it needs a valid token; a path in no route is 404.
routes:
  - {path: /health, to: app, auth: public, methods: [GET]}
  - {path: /admin/**, to: app, roles: [admin]}
  - {path: /**, to: app}

# What must hold, whatever is changed above: run by `gateway test`.
tests:
  - {as: anonymous, call: GET /health, expect: allow}
  - {as: anonymous, call: GET /anything, expect: 401}
  - {as: user, call: GET /anything, expect: allow}
  - {as: user, call: GET /admin/users, expect: 403}
  - {as: admin, call: GET /admin/users, expect: allow}
"""
USERS = """\
# People who may log in. A password is what `gateway users hash` prints.
users: {}
#  ana:
#    password: $argon2id$v=19$m=19456,t=2,p=1$...
#    roles: [admin]
"""


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init_command(directory: Path) -> None:
    """Write a first gateway.yaml, users.yaml and the schema for editors into DIRECTORY; overwrites nothing."""

    def work() -> None:
        from gateway.config.schema import schema

        contents = {"gateway.yaml": GATEWAY, "users.yaml": USERS, "gateway.schema.json": schema()}
        there = [name for name in contents if (directory / name).exists()]
        if there:
            raise ConfigError(f"{directory / there[0]} is there already; nothing was written")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in contents.items():
                (directory / name).write_text(text)
        except OSError as error:
            raise ConfigError(f"{directory} cannot be written: {error.strerror}") from error
        for name in contents:
            click.echo(directory / name)
        click.echo(f"next: gateway check -c {directory / 'gateway.yaml'}", file=sys.stderr)

    guarded(work)
