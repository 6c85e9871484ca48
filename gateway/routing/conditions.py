"""The conditions a rule is made of: each looks at the caller or the request, says yes or no, and can say what it saw.

They are made once, when the configuration is loaded, and are the only place where a rule is decided: the gate asks
`met`, the explanation shows `wanted` and `got` of the same values.

An empty list of names never means "everybody": the configuration refuses to write one, and here it is met by nobody
(identity.md 4, 52).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

from gateway.errors import SECOND_FACTOR, Refusal, refuse
from gateway.paths import Path, reached

Network = IPv4Network | IPv6Network
Scalar = str | int | float | bool


class Caller(Protocol):
    """Who asks, as a verified token says."""

    @property
    def subject(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def tenant(self) -> str | None: ...
    @property
    def roles(self) -> frozenset[str]: ...
    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def audience(self) -> frozenset[str]: ...
    @property
    def claims(self) -> Mapping[str, object]: ...
    @property
    def auth_time(self) -> int:
        """Unix time of the login; 0 when the token does not say."""
        ...

    @property
    def is_program(self) -> bool:
        """The token was issued to a program for itself: there is no person."""
        ...


class Asked(NamedTuple):
    """What is asked, as far as rules look at it."""

    params: Mapping[str, bytes] = MappingProxyType({})
    """Decoded segments the template's parameters stand for."""
    address: str = ""
    """The client's address; "" when it has none."""
    now: float = 0.0
    """Unix time."""
    field: Callable[[bytes], bytes | None] = lambda _name: None
    """The value of a header field by its lower-case name."""


class Condition(ABC):
    """One demand. Values: `key` and `place` are where it was written."""

    __slots__ = ()
    key: str
    place: str
    code: ClassVar[str]
    looks: bool = False
    """Looks at the request, not at the caller alone."""

    @abstractmethod
    def met(self, who: Caller, asked: Asked) -> bool:
        """Return whether *who* may do what is *asked* as far as this condition goes."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What is asked for, for people: ``role admin or user``."""

    @abstractmethod
    def got(self, who: Caller, asked: Asked) -> str:
        """Return what was compared with it, for people; "" for nothing."""

    def refusal(self, _who: Caller, _asked: Asked, reason: str) -> Refusal:
        """Return the refusal of a request that does not meet this, with *reason* for the log."""
        return refuse(self.code, reason)


@dataclass(frozen=True, slots=True)
class Audience(Condition):
    """The token is meant for one of these (identity.md 4, 44)."""

    names: frozenset[str]
    key: str = "audience"
    place: str = ""
    code: ClassVar[str] = "token_invalid"

    def met(self, who: Caller, asked: Asked) -> bool:
        return not self.names.isdisjoint(who.audience)

    @property
    def wanted(self) -> str:
        return f"audience {either(self.names)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return listed(who.audience)

    def refusal(self, _who: Caller, _asked: Asked, _reason: str) -> Refusal:
        return refuse(self.code, "audience")


@dataclass(frozen=True, slots=True)
class Kind(Condition):
    """A person, or a program that got its token for itself (RFC 9700 section 4.15)."""

    program: bool
    key: str = "caller"
    place: str = ""
    code: ClassVar[str] = "rule_failed"

    def met(self, who: Caller, asked: Asked) -> bool:
        return who.is_program is self.program

    @property
    def wanted(self) -> str:
        return f"caller {_kind(self.program)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return _kind(who.is_program)


def _kind(program: bool) -> str:
    return "program" if program else "user"


@dataclass(frozen=True, slots=True)
class Roles(Condition):
    """Any of these roles; those that include one of them are among them."""

    names: frozenset[str]
    key: str = "roles"
    place: str = ""
    code: ClassVar[str] = "role_missing"

    def met(self, who: Caller, asked: Asked) -> bool:
        return not self.names.isdisjoint(who.roles)

    @property
    def wanted(self) -> str:
        return f"role {either(self.names)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return listed(who.roles)


@dataclass(frozen=True, slots=True)
class NotRoles(Condition):
    """None of these roles. Nothing is missing, so it is no missing role."""

    names: frozenset[str]
    key: str = "not_roles"
    place: str = ""
    code: ClassVar[str] = "rule_failed"

    def met(self, who: Caller, asked: Asked) -> bool:
        return self.names.isdisjoint(who.roles)

    @property
    def wanted(self) -> str:
        return f"not role {either(self.names)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return listed(who.roles)


@dataclass(frozen=True, slots=True)
class Permissions(Condition):
    """All of these; those that a role brings along are among the caller's."""

    names: frozenset[str]
    key: str = "permissions"
    place: str = ""
    code: ClassVar[str] = "permission_missing"

    def met(self, who: Caller, asked: Asked) -> bool:
        return self.names <= who.permissions

    @property
    def wanted(self) -> str:
        return f"permission {each(self.names)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return listed(who.permissions)


@dataclass(frozen=True, slots=True)
class Scopes(Condition):
    """All of these scopes."""

    names: frozenset[str]
    key: str = "scopes"
    place: str = ""
    code: ClassVar[str] = "scope_missing"

    def met(self, who: Caller, asked: Asked) -> bool:
        return self.names <= who.scopes

    @property
    def wanted(self) -> str:
        return f"scope {each(self.names)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return listed(who.scopes)

    def refusal(self, _who: Caller, _asked: Asked, reason: str) -> Refusal:
        return refuse(self.code, reason, scope=" ".join(sorted(self.names)))


@dataclass(frozen=True, slots=True)
class Claim(Condition):
    """A claim that has one of these values, or a list that has one of them in it."""

    path: Path
    values: tuple[Scalar, ...]
    key: str = "claims"
    place: str = ""
    code: ClassVar[str] = "rule_failed"

    def met(self, who: Caller, asked: Asked) -> bool:
        return any(_same(item, value) for item in _members(stated(who, self.path)) for value in self.values)

    @property
    def wanted(self) -> str:
        return f"claim {'.'.join(self.path)} {' or '.join(text_of(value) or '' for value in self.values)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return shown(stated(who, self.path))


def _same(stated: object, value: Scalar) -> bool:
    """Compare like with like: true is not 1, and "1" is not 1; but 1 is 1.0, as JSON has one kind of number."""
    if isinstance(stated, bool) or isinstance(value, bool):
        return stated is value
    if isinstance(stated, str) or isinstance(value, str):
        return isinstance(stated, str) and isinstance(value, str) and stated == value
    return isinstance(stated, int | float) and stated == value


@dataclass(frozen=True, slots=True)
class Bound(Condition):
    """A part of the request that equals a claim: ``path.tenant`` is ``claim.tenant``, or one of its list."""

    source: str
    """`path` or `header`."""
    name: str
    """The parameter, or the lower-case name of the header."""
    path: Path
    key: str = "where"
    place: str = ""
    code: ClassVar[str] = "rule_failed"
    looks = True

    def met(self, who: Caller, asked: Asked) -> bool:
        here = self._here(asked)
        return here is not None and any(here == text_of(item) for item in _members(stated(who, self.path)))

    @property
    def wanted(self) -> str:
        return f"{self.source}.{self.name} is claim.{'.'.join(self.path)}"

    def got(self, who: Caller, asked: Asked) -> str:
        return f"{shown(self._here(asked))} and {shown(stated(who, self.path))}"

    def _here(self, asked: Asked) -> str | None:
        value = asked.params.get(self.name) if self.source == "path" else asked.field(self.name.encode())
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:  # a header may hold anything; a path is UTF-8
            return None


@dataclass(frozen=True, slots=True)
class Addresses(Condition):
    """The client's address is in one of these networks."""

    networks: tuple[Network, ...]
    key: str = "allow_ips"
    place: str = ""
    code: ClassVar[str] = "address_denied"
    looks = True

    def met(self, who: Caller | None, asked: Asked) -> bool:
        return self.has(asked.address)

    def has(self, address: str) -> bool:
        """Return whether *address* is in one of the networks."""
        known = _address(address)
        return known is not None and any(known in network for network in self.networks)

    @property
    def wanted(self) -> str:
        return f"address {' or '.join(map(str, self.networks))}"

    def got(self, who: Caller | None, asked: Asked) -> str:
        return asked.address or "no address"


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return *text* as an address, the IPv6 form of an IPv4 address as that; None when it is none."""
    try:
        known = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(known, IPv6Address) and known.ipv4_mapped) or known


@dataclass(frozen=True, slots=True)
class SecondFactor(Condition):
    """The login was proved by more than one factor: `amr` says `mfa` (RFC 8176 section 2)."""

    key: str = "mfa"
    place: str = ""
    code: ClassVar[str] = "mfa_required"

    def met(self, who: Caller, asked: Asked) -> bool:
        methods = who.claims.get("amr")
        return isinstance(methods, list) and "mfa" in methods

    @property
    def wanted(self) -> str:
        return "a login with a second factor"

    def got(self, who: Caller, asked: Asked) -> str:
        return shown(who.claims.get("amr"))

    def refusal(self, _who: Caller, _asked: Asked, reason: str) -> Refusal:
        return Refusal(SECOND_FACTOR, reason, step_up='acr_values="mfa"')


@dataclass(frozen=True, slots=True)
class FreshLogin(Condition):
    """The login is no older than so many seconds; a refresh does not make it younger (RFC 9470 section 4)."""

    seconds: float
    key: str = "fresh_login"
    place: str = ""
    code: ClassVar[str] = "login_too_old"
    looks = True

    def met(self, who: Caller, asked: Asked) -> bool:
        return bool(who.auth_time) and asked.now - who.auth_time <= self.seconds

    @property
    def wanted(self) -> str:
        return f"a login of the last {self.seconds:g} s"

    def got(self, who: Caller, asked: Asked) -> str:
        return f"{asked.now - who.auth_time:.0f} s old" if who.auth_time else "no time of a login"

    def refusal(self, _who: Caller, _asked: Asked, reason: str) -> Refusal:
        return refuse(self.code, reason)._replace(step_up=f'max_age="{int(self.seconds)}"')


@dataclass(frozen=True, slots=True)
class AnyOf(Condition):
    """One of these alternatives, each a list of conditions that all hold."""

    alternatives: tuple[tuple[Condition, ...], ...]
    key: str = "any_of"
    place: str = ""
    code: ClassVar[str] = "rule_failed"
    looks = True

    def met(self, who: Caller, asked: Asked) -> bool:
        return any(first_unmet(conditions, who, asked) is None for conditions in self.alternatives)

    @property
    def wanted(self) -> str:
        return " or else ".join(together(conditions) for conditions in self.alternatives)

    def got(self, who: Caller, asked: Asked) -> str:
        failed = [first_unmet(conditions, who, asked) for conditions in self.alternatives]
        return "; ".join(f"{one.key}: {one.got(who, asked)}" if one else "met" for one in failed)

    def refusal(self, who: Caller, asked: Asked, reason: str) -> Refusal:
        """Name what the caller can do something about; else what all alternatives agree on, if they do."""
        failed = [one for conditions in self.alternatives if (one := first_unmet(conditions, who, asked))]
        refusals = [one.refusal(who, asked, reason) for one in failed]
        step_up = next((refusal for refusal in refusals if refusal.step_up), None)
        codes = {refusal.code.name for refusal in refusals}
        return step_up or (refuse(codes.pop(), reason) if len(codes) == 1 else refuse(self.code, reason))


_READ: Mapping[str, Callable[[Caller], object]] = {
    "sub": lambda who: who.subject,
    "iss": lambda who: who.issuer,
    "client_id": lambda who: who.client,
    "tenant": lambda who: who.tenant,
    "roles": lambda who: sorted(who.roles),
    "permissions": lambda who: sorted(who.permissions),
    "scope": lambda who: sorted(who.scopes),
    "aud": lambda who: sorted(who.audience),
}
"""Claims as the verifier has understood them: those of a trusted issuer's token are mapped, and not what it says."""


def stated(who: Caller, path: Path) -> object | None:
    """Return the claim of *who* that *path* leads to; None when there is none."""
    read = _READ.get(path[0]) if len(path) == 1 else None
    return reached(who.claims, path) if read is None else read(who)


def _members(claim: object) -> Sequence[object]:
    return claim if isinstance(claim, list) else (claim,)


def first_unmet(conditions: Sequence[Condition], who: Caller, asked: Asked) -> Condition | None:
    """Return the first of *conditions* that is not met; None when all are."""
    for condition in conditions:
        if not condition.met(who, asked):
            return condition
    return None


def together(conditions: Sequence[Condition]) -> str:
    """Return what all *conditions* want, for people."""
    return "; ".join(condition.wanted for condition in conditions) or "nothing"


def either(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))


def each(names: frozenset[str]) -> str:
    return " and ".join(sorted(names))


def listed(names: frozenset[str]) -> str:
    """Return *names* for people; ``none`` when there are none."""
    return ", ".join(sorted(names)) or "none"


def text_of(value: object) -> str | None:
    """Return a claim's text as it would stand in a path; None for what has no such form."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else None


def shown(value: object) -> str:
    """Return *value* of a claim or of a request for people."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "nothing"
    return text_of(value) or "an object"
