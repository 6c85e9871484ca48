"""Who checks passwords: a file, or a database."""

from pydantic import model_validator

from gateway.config.faults import Wrong
from gateway.config.model import Model
from gateway.config.values import Duration, FilePath, SecretText, Text


class QueriesConfig(Model):
    """Two questions to a table of users that is there already."""

    by_name: Text
    """SELECT of the one row whose user name is `:name` (normal spelling) or `:username` (as typed).

    With the columns sub, username, password, and if there are such, roles, permissions, scopes, tenant, claims and
    disabled.
    """
    by_sub: Text
    """SELECT of the same columns of the one row whose lasting identifier is `:sub`."""
    set_password: Text | None = None
    """UPDATE of the password to `:new` where the identifier is `:sub` and the password `:old`.

    Absent: the table is never written.
    """


class DatabaseConfig(Model):
    """Users in an SQL database."""

    url: Text | None = None
    """sqlite:///file or postgresql://user@host/name. Absent: users.db in the data directory."""
    password: SecretText | None = None
    password_file: FilePath | None = None
    timeout: Duration = 3.0
    """For each question."""
    queries: QueriesConfig | None = None
    """Absent: the gateway's own table, which it makes."""


class VerifyConfig(Model):
    """Who checks passwords: one of these."""

    file: FilePath | None = None
    """A users file."""
    database: DatabaseConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> "VerifyConfig":
        if (self.file is None) == (self.database is None):
            raise Wrong("passwords are checked in one place", "write either file or database")
        return self
