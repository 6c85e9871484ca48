"""What `gateway run` says when it is up: where things are, and what to try."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.app import Gateway
from gateway.routing.table import Access, Route


def banner(gateway: Gateway, path: Path, demo: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines; *demo* is the environment in demo mode, else empty."""
    config, effective = gateway.config, gateway.effective
    url = f"{'https' if effective.tls else 'http'}://{effective.listen.host}:{gateway.port}"
    admin = f"http://{effective.admin_listen.host}:{gateway.admin_port}"
    yield f"✓ config     {path.resolve()}"
    yield f"✓ store      {_store(gateway)}"
    yield f"✓ keys       {_keys(gateway)}"
    if config.login is not None:
        yield f"✓ users      {_users(gateway)}"
    for name, upstream in config.upstreams.items():
        yield f"✓ upstream   {name}  {' '.join(target.url.written for target in upstream.targets)}"
    for index, line in enumerate(_routes(gateway)):
        yield f"{'✓ routes' if index == 0 else '        '}   {line}"
    yield f"Gateway    {url}"
    yield f"Admin      {admin}/readyz  {admin}/metrics"
    if demo:
        yield "Demo mode: fixed passwords, loopback only. Try:"
        yield f"  curl -i {url}/public/hello"
        yield f"  curl -i {url}/api/hello                                   # 401: who are you?"
        yield (
            f"  TOKEN=$(curl -s {url}{config.login.base_path if config.login else '/auth'}/login "
            "-H 'Content-Type: application/json' "
            '-d \'{"username":"alice","password":"demo"}\' | sed -n \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/p\')'
        )
        yield f'  curl -i {url}/api/hello -H "Authorization: Bearer $TOKEN"      # 200'
        yield f'  curl -i {url}/admin/stats -H "Authorization: Bearer $TOKEN"    # 403: alice is no admin'


def _store(gateway: Gateway) -> str:
    if gateway.embedded is not None:
        return f"embedded, {gateway.data / 'store'} (kept between runs)"
    return "external (its address and password are in the configuration)"


def _keys(gateway: Gateway) -> str:
    if not gateway.ring.is_known:
        return "in the store, which does not answer yet"
    key = gateway.ring.signing()
    if gateway.effective.keys_in_store:
        where = "in the store"
    else:
        where = "from files" if gateway.config.tokens.keys.files else f"{gateway.data / 'keys'}"
    return f"{key.alg} {key.kid[:12]}…  {where}"


def _users(gateway: Gateway) -> str:
    records = gateway.model.records
    people = [f"{name} ({', '.join(record.roles)})" for name, record in records.items()]
    shown = " · ".join(people[:6]) + (f" and {len(people) - 6} more" if len(people) > 6 else "")
    return shown + ("    password: demo" if any(record.demo for record in records.values()) else "")


def _routes(gateway: Gateway) -> Iterator[str]:
    for route in gateway.model.routes.routes:
        if route.place == "built in":
            continue
        yield f"{route.matches:<24} {_asks(route):<28} → {route.upstream}"


def _asks(route: Route) -> str:
    rules = list(route.rules.values())
    if all(rule.access is Access.PUBLIC for rule in rules):
        return "public"
    wanted = sorted({rule.wanted for rule in rules if rule.wanted})
    return ", ".join(wanted) or "any logged-in user"
