"""What values mean together: names that must exist, routes that are equal, combinations that are unsafe."""

from collections.abc import Iterator
from pathlib import Path

from gateway.config.clients import findings as client_findings
from gateway.config.clients import own_findings as own_client_findings
from gateway.config.document import Loc
from gateway.config.draft import Draft
from gateway.config.effective import JWKS_PATH, METADATA_PATH
from gateway.config.entries import RouteConfig
from gateway.config.faults import meant
from gateway.config.findings import Finding
from gateway.config.issuers import findings as issuer_findings
from gateway.config.keys import findings as key_findings
from gateway.config.limit_checks import limit_findings
from gateway.config.models import IDENTITY_HEADERS
from gateway.config.rule_checks import places, role_findings, rule_findings
from gateway.routing.rewriting import rewriting
from gateway.routing.table import Route, RouteOptions, Rule, ties
from gateway.routing.template import folded, parse, shape
from gateway.sessions.address import parse as parse_store
from gateway.tokens.issue import RESERVED
from gateway.users.claims import OWN


def check(draft: Draft) -> None:
    """Note in the document everything that is wrong beyond single values."""
    for step in (
        _upstreams,
        role_findings,
        rule_findings,
        limit_findings,
        _rewrites,
        _ties,
        _own_headers,
        _own_paths,
        _names,
        _headers,
        _refresh,
        _keys,
        _login_claims,
        _issuers,
        _clients,
        _silent_refresh,
    ):
        for finding in step(draft):
            draft.document.fault(finding.loc, finding.reason, finding.hint, at_key=finding.at_key)
    for finding in (*_transport(draft), *_store(draft), *_listeners(draft), *_files(draft)):
        draft.document.fault(finding.loc, finding.reason, finding.hint, at_key=finding.at_key)


def _upstreams(draft: Draft) -> Iterator[Finding]:
    known = draft.names("upstreams")
    for index, route in draft.routes():
        if route.to not in known:
            hint = meant(route.to, known) or (f"there is {', '.join(known)}" if known else "add it to upstreams:")
            yield Finding(("routes", index, "to"), f'no upstream is called "{route.to}"', hint)


def _rewrites(draft: Draft) -> Iterator[Finding]:
    for index, route in draft.whole_routes():
        if route.strip_prefix is None and route.rewrite is None:
            continue
        try:
            rewriting(parse(route.path), route.strip_prefix, route.rewrite)
        except ValueError as error:
            key = "strip_prefix" if route.rewrite is None else "rewrite"
            yield Finding(("routes", index, key), str(error))


def _ties(draft: Draft) -> Iterator[Finding]:
    routes = [
        Route(
            name=route.title,
            index=index,
            place=draft.document.nearby(("routes", index)),
            host=route.host,
            template=route.path,
            upstream=route.to,
            rules={method.encode(): Rule() for method in route.method_rules},
            headers=route.wanted_headers,
            options=RouteOptions(any_case=_any_case(draft, route)),
        )
        for index, route in draft.whole_routes()
    ]
    for tie in ties(routes):
        yield Finding(("routes", tie.second.index, "headers" if tie.both else "path"), *tie.words())


def _any_case(draft: Draft, route: RouteConfig) -> bool:
    upstream = draft.config.upstreams.get(route.to)
    return upstream is not None and upstream.any_case


def _own_headers(draft: Draft) -> Iterator[Finding]:
    """Identity headers come from the gateway: no client's copy is ever seen, so the route could not be reached."""
    if not draft.sound("identity_headers"):
        return
    own = {name.lower() for name in (*IDENTITY_HEADERS, *draft.config.identity_headers)}
    for index, route in draft.whole_routes():
        for name in route.headers:
            if name.lower() in own:
                reason = f"{name} is an identity header, which clients cannot send, so nobody could reach this route"
                yield Finding(("routes", index, "headers", name), reason, "write rules; they know who asks", True)


def _own_paths(draft: Draft) -> Iterator[Finding]:
    exact = {shape(parse(path)): path for path in (JWKS_PATH, METADATA_PATH)}
    login = draft.config.login if draft.sound("login") else None
    base = () if login is None else parse(login.base_path)
    for index, route in draft.whole_routes():
        spelled = folded if _any_case(draft, route) else tuple
        path, own = shape(spelled(parse(route.path))), shape(spelled(base))
        if path in exact:
            yield Finding(("routes", index, "path"), f"{exact[path]} is the gateway's own", "remove the route")
        elif login is not None and path[: len(own)] == own:
            reason = f"everything below {login.base_path} is the gateway's own"
            yield Finding(("routes", index, "path"), reason, "choose another path, or move login.base_path")


def _names(draft: Draft) -> Iterator[Finding]:
    lines: dict[str, int] = {}
    for index, route in draft.whole_routes():
        if route.name is None:
            continue
        if route.name in lines:
            yield Finding(("routes", index, "name"), f"another route has this name, on line {lines[route.name]}")
        lines.setdefault(route.name, draft.document.line(("routes", index)))
        methods = route.method_rules
        if route.websocket is not None and "GET" not in methods:
            yield Finding(("routes", index, "websocket"), "a WebSocket begins with GET, which is not among the methods")


def _headers(draft: Draft) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in draft.config.identity_headers if draft.sound("identity_headers") else ():
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding(("identity_headers", name), f"the same header as {first}; case does not matter", "", True)


def _refresh(draft: Draft) -> Iterator[Finding]:
    tokens = draft.config.tokens
    if tokens.refresh.idle > tokens.refresh.ttl:
        key = "idle" if "idle" in tokens.refresh.model_fields_set else "ttl"
        yield Finding(("tokens", "refresh", key), "idle is longer than ttl, so it would never end a session")


def _login_claims(draft: Draft) -> Iterator[Finding]:
    login = draft.config.login
    for claim in sorted((RESERVED - OWN).intersection(login.claims if login is not None else ())):
        yield Finding(("login", "claims", claim), f'the claim "{claim}" is the gateway\'s own', "remove it", True)


def _keys(draft: Draft) -> Iterator[Finding]:
    for found in key_findings(draft.config.tokens.keys):
        yield found._replace(loc=("tokens", "keys", *found.loc))


def _issuers(draft: Draft) -> Iterator[Finding]:
    config = draft.config
    own = config.effective.issuer if draft.sound("tokens", "server") else None
    whole = frozenset(name for name in config.trusted_issuers if draft.is_whole("trusted_issuers", name))
    for found in issuer_findings(config.trusted_issuers, own, draft.names("roles"), whole):
        yield found._replace(loc=("trusted_issuers", *found.loc))


def _clients(draft: Draft) -> Iterator[Finding]:
    clients = draft.config.clients
    whole = frozenset(name for name in clients if draft.is_whole("clients", name))
    found = list(client_findings(clients, draft.names("roles"), whole))
    if draft.sound("login"):
        login = draft.config.login
        found += own_client_findings(clients, login.client_id if login else None)
    for one in found:
        yield one._replace(loc=("clients", *one.loc))


def _silent_refresh(draft: Draft) -> Iterator[Finding]:
    if not draft.sound("login", "tokens"):
        return
    config = draft.config
    if config.login is not None and config.effective.cookies:
        return
    why = "nobody logs in here" if config.login is None else "tokens.read_from has no cookie"
    for loc, levels in places(draft):
        if getattr(levels[0], "silent_refresh", False):
            yield Finding((*loc, "silent_refresh"), f"there are no cookies to renew: {why}", at_key=True)


def _transport(draft: Draft) -> Iterator[Finding]:
    """Logins and cookies without TLS give every password away (identity chapter 75)."""
    if not draft.sound("server", "login", "tokens"):
        return
    config = draft.config
    server, derived = config.server, config.effective
    if derived.secure or server.listen.loopback or server.insecure_http:
        return
    if config.login is None and not derived.cookies:
        return
    what, loc = ("logins", ("login",)) if config.login is not None else ("cookies", ("tokens", "read_from"))
    yield Finding(
        loc,
        f"{what} would cross the network in clear: the gateway listens on {server.listen} without TLS",
        "set server.public_url to https://… when something in front does TLS, or server.tls, or listen on 127.0.0.1;\n"
        "server.insecure_http: true allows it all the same",
        True,
    )


def _store(draft: Draft) -> Iterator[Finding]:
    if not draft.sound("server", "store"):
        return
    config = draft.config
    server, store = config.server, config.store
    if store.url != "embedded" and server.secret is None:
        yield Finding(
            ("store", "url"),
            "a store of its own needs server.secret_file: all gateways that share the store share the secret",
            "make one with: openssl rand -hex 32 > gateway.secret",
        )
    if store.url == "embedded" and not server.listen.loopback and "url" not in store.model_fields_set:
        yield Finding(
            ("server", "listen"),
            "the embedded store is for one gateway alone, so for other machines it must be asked for",
            "write store: {url: embedded}, or the address of a store that all gateways share",
        )
    if store.password is not None and store.url != "embedded" and parse_store(store.url).password is not None:
        yield Finding(("store", "url"), "there is a password in the URL and one beside it", "remove one of them")


def _listeners(draft: Draft) -> Iterator[Finding]:
    server = draft.config.server
    if draft.sound("server") and server.listen == server.admin.listen and server.listen.port != 0:
        yield Finding(("server", "admin", "listen"), f"{server.listen} is the public listener", "choose another port")


def _files(draft: Draft) -> Iterator[Finding]:
    config = draft.config
    named: dict[Loc, Path | None] = {}
    for at, pair in enumerate(config.server.tls):
        named |= _pair(("server", "tls", at), pair.certificate_file, pair.key_file)
    for at, key in enumerate(config.tokens.keys.files):
        named["tokens", "keys", "files", at, "file"] = key.file
    for name, issuer in config.trusted_issuers.items():
        named["trusted_issuers", name, "jwks_file"] = issuer.jwks_file
        named |= {("trusted_issuers", name, "keys", at, "file"): key.file for at, key in enumerate(issuer.keys)}
    if config.pages is not None:
        named["pages", "logo_file"] = config.pages.logo_file
        named["pages", "stylesheet_file"] = config.pages.stylesheet_file
    if config.login is not None and (callout := config.login.verify.callout) is not None:
        own: Loc = ("login", "verify", "callout")
        named |= _pair(own, callout.certificate_file, callout.key_file) | {(*own, "ca_file"): callout.ca_file}
    for name, client in config.clients.items():
        named["clients", name, "secret_file"] = client.secret_file
        named |= {("clients", name, "keys", at, "file"): key.file for at, key in enumerate(client.keys)}
    for name, upstream in config.upstreams.items():
        if upstream.tls is not None:
            named |= _pair(("upstreams", name, "tls"), upstream.tls.certificate_file, upstream.tls.key_file)
            named["upstreams", name, "tls", "ca_file"] = upstream.tls.ca_file
            if all(target.url.scheme != "https" for target in upstream.targets):
                yield Finding(("upstreams", name, "tls"), "no target is https, so this would not be used", "", True)
    for loc, path in named.items():
        if path is not None and (reason := _unreadable(path)):
            yield Finding(loc, f"{path} cannot be read: {reason}")


def _pair(loc: Loc, certificate: Path | None, key: Path | None) -> dict[Loc, Path | None]:
    return {(*loc, "certificate_file"): certificate, (*loc, "key_file"): key}


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return (error.strerror or "unknown error").lower()
