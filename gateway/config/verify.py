"""Who checks passwords: a file of one kind or another, a database, or a service of somebody's own."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from gateway.config import names
from gateway.config.addresses import Address
from gateway.config.entries import Words
from gateway.config.faults import Wrong, one_of
from gateway.config.model import Model, short_form
from gateway.config.values import Count, Duration, FilePath, Flag, SecretText, Text
from gateway.routing.host import normal_host

QUESTIONS = 45.0
"""Seconds that everything asked for one login may take. A try is given up after `limits.guesses.ThrottleLimits.lease`,
of which `users.turnstile.PATIENCE` may go by before it begins; one that lasted longer would let others overtake it."""


def _below(most: float) -> AfterValidator:
    def check(seconds: float) -> float:
        if seconds >= most:
            raise Wrong("a login would last longer than the gateway holds its turn", f"write less than {most:.0f}s")
        return seconds

    return AfterValidator(check)


class HtpasswdConfig(Model):
    """Users in a file as Apache and nginx know it."""

    file: FilePath
    """Lines of `name:hash`, as `htpasswd -B` writes them; a hash with `!` before it is disabled."""
    groups_file: FilePath | None = None
    """Lines of `role: name name`, as Apache's AuthGroupFile has them."""
    roles: Words = ()
    """Of everybody in the file."""


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
    timeout: Annotated[Duration, _below(QUESTIONS / 3)] = 3.0
    """For each question, of which a login has up to three: the person, a newer hash, the second factor."""
    queries: QueriesConfig | None = None
    """Absent: the gateway's own table, which it makes."""


def _url(value: str) -> str:
    try:
        url = urlsplit(value)
        netloc, is_sound = url.netloc, url.scheme in ("https", "http") and url.port != 0
    except ValueError:
        netloc, is_sound = "", False
    if "@" in netloc:
        raise Wrong("a URL is no place for a password", "write it to a file, and name that as token_file")
    if not is_sound or normal_host(netloc.encode("ascii", "replace")) is None or not re.fullmatch(r"[!-~]+", value):
        raise Wrong(f'"{value}" is not the URL of a service', "write it like https://users.example.com/verify")
    if "#" in value:
        raise Wrong("what follows the # of a URL is never sent", "remove it")
    return value


ServiceUrl = Annotated[Text, AfterValidator(_url)]


class CalloutConfig(Model):
    """A service of somebody's own that knows the users."""

    url: ServiceUrl
    """Gets `{"username", "password"}` by POST and says whose password that is."""
    lookup_url: ServiceUrl | None = None
    """Gets `{"sub"}` by POST at each refresh. Absent: what the login said holds as long as the session."""
    token: SecretText | None = None
    token_file: FilePath | None = None
    """Sent as `Authorization: Bearer`, so that the service knows who asks."""
    token_header: Annotated[Text, AfterValidator(names.header_name)] | None = None
    """Sends the token, and nothing before it, in this header instead."""
    timeout: Annotated[Duration, _below(QUESTIONS)] = 3.0
    """For each question, with waiting for its turn."""
    connections: Count = 64
    """Questions at once; more wait."""
    ca_file: FilePath | None = None
    """Who signed the service's certificate, PEM; absent: the machine's authorities."""
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    """What the gateway shows of itself, PEM."""
    insecure_http: Flag = False
    """Allow passwords to be sent without TLS to another machine."""

    @property
    def urls(self) -> dict[str, str]:
        """The key of each place that is asked, and the place."""
        return {"url": self.url} | ({"lookup_url": self.lookup_url} if self.lookup_url else {})

    @model_validator(mode="after")
    def _safe(self) -> "CalloutConfig":
        if (self.certificate_file is None) != (self.key_file is None):
            raise Wrong("certificate_file and key_file belong together")
        if self.token_header is not None and self.token is None:
            raise Wrong("there is no token for token_header", "write token_file: FILE")
        if self.token is not None and not all(0x21 <= byte <= 0x7E for byte in self.token.value):
            raise Wrong("a token that is sent in a header is printable ASCII without spaces")
        plain = [key for key, url in self.urls.items() if not url.startswith("https://")]
        if len(plain) == len(self.urls) and (self.ca_file or self.certificate_file):
            raise Wrong("no URL is https, so ca_file and certificate_file would not be used")
        for key in plain:
            if not self.insecure_http and not Address(urlsplit(self.urls[key]).hostname or "", 0).loopback:
                raise Wrong(
                    f"{key}: passwords and people's records would cross the network in clear",
                    "use https://…; insecure_http: true allows it all the same",
                )
        return self


class VerifyConfig(Model):
    """Who checks passwords: one of these."""

    file: FilePath | None = None
    """A users file."""
    htpasswd: Annotated[HtpasswdConfig, short_form(HtpasswdConfig, "file")] | None = None
    """Users of another server's password file."""
    database: DatabaseConfig | None = None
    callout: Annotated[CalloutConfig, short_form(CalloutConfig, "url")] | None = None
    """Users that a service of one's own knows."""

    @property
    def users_file(self) -> Path | None:
        """The file with the users, of either kind; None when they are elsewhere."""
        return self.file if self.htpasswd is None else self.htpasswd.file

    @model_validator(mode="after")
    def _one(self) -> "VerifyConfig":
        ways = list(type(self).model_fields)
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise Wrong("passwords are checked in one place", f"write {one_of(ways)}")
        return self
