"""The routes of the file, together with the gateway's own, as the table that requests are matched against.

What is not written is inherited: a method's key from its route, a route's from `defaults`. Timeouts and the Host header
are the upstream's own affair first: route, then upstream, then `defaults`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.config.cors import RouteCorsConfig
from gateway.config.document import Loc
from gateway.config.effective import JWKS_PATH, METADATA_PATH
from gateway.config.entries import ForwardingConfig, RouteConfig
from gateway.config.model import Model
from gateway.config.models import Config
from gateway.config.rules import Level, Rules
from gateway.config.upstreams import RetryConfig, TimeoutsConfig, UpstreamConfig
from gateway.routing.cors import EXPOSED, HEADERS, Cors
from gateway.routing.route import BUILTIN, DEFAULT_METHODS
from gateway.routing.table import Access, Retry, Route, RouteOptions, RouteTable, Rule, Timeouts, WebSocketOptions

# Logins and refreshes are a few hundred bytes.
_OWN_BODY_LIMIT = 64 << 10


def route_table(config: Config) -> RouteTable:
    """Return the table of *config*, which `load` has checked.

    Raises:
        ConfigError: two routes are equal, or one cannot be used; only possible when the values were not loaded.
    """
    rules = Rules(config)
    routes = [_route(config, index, written, rules) for index, written in enumerate(config.routes)]
    return RouteTable([*routes, *own_routes(config)])


def own_routes(config: Config) -> list[Route]:
    """Return the routes to the gateway's own endpoints.

    They are there for every host that a route names: a host comes before a path in the table, and a catch-all for one
    host must not take the logins of that host.
    """
    templates = {"jwks": JWKS_PATH, "metadata": METADATA_PATH}
    if config.login is not None:
        templates["auth"] = f"{config.login.base_path}/**"
    hosts = dict.fromkeys([None, *(route.host for route in config.routes)])
    rules = dict.fromkeys(DEFAULT_METHODS, Rule(Access.PUBLIC, wanted="nothing"))
    options = RouteOptions(body_limit=min(config.server.limits.body, _OWN_BODY_LIMIT), forward_token=True, host="keep")
    return [
        Route(
            name=f"{BUILTIN}.{name}",
            index=len(config.routes) + at,
            place="built in",
            host=host,
            template=template,
            upstream=BUILTIN,
            rules=rules,
            options=options,
        )
        for at, (host, (name, template)) in enumerate((host, item) for host in hosts for item in templates.items())
    ]


def _route(config: Config, index: int, written: RouteConfig, made: Rules) -> Route:
    loc: Loc = ("routes", index)
    levels = [Level(written, loc), Level(config.defaults, ("defaults",))]
    common = made.rule(levels)
    rules = {}
    for method, own in written.method_rules.items():
        rules[method.encode()] = (
            common if own is None else made.rule([Level(own, (*loc, "methods", method)), *levels], method=True)
        )
    return Route(
        name=written.title,
        index=index,
        place=config.place("routes", index),
        host=written.host,
        template=written.path,
        upstream=written.to,
        rules=rules,
        options=_options(config, written),
        headers=written.wanted_headers,
    )


def _nearest(levels: Sequence[Model], key: str) -> Any:
    """Return *key* from the first of *levels* where it is written, or its default."""
    for level in levels:
        if key in level.model_fields_set:
            return getattr(level, key)
    return getattr(levels[-1], key)


def _options(config: Config, written: RouteConfig) -> RouteOptions:
    upstream = config.upstreams.get(written.to)
    levels: list[ForwardingConfig] = [written, config.defaults]
    limit = config.server.limits.body
    return RouteOptions(
        body_limit=_nearest(levels, "body") if any("body" in level.model_fields_set for level in levels) else limit,
        timeouts=_timeouts(written, upstream, config.defaults, stream=_nearest(levels, "stream")),
        strip_prefix=written.strip_prefix,
        rewrite=written.rewrite,
        forward_token=_nearest(levels, "forward_token") == "keep",
        allow_encoded_slash=_nearest(levels, "allow_encoded_slash"),
        host=_host(written, upstream, config.defaults),
        websocket=_websocket(levels),
        stream=_nearest(levels, "stream"),
        silent_refresh=_nearest(levels, "silent_refresh"),
        csrf_always=_nearest(levels, "csrf") == "always",
        retry=_retry(upstream.retry if upstream else RetryConfig()),
        any_case=upstream is not None and upstream.any_case,
        cors=_cors(_nearest(levels, "cors")),
    )


def _timeouts(
    written: RouteConfig, upstream: UpstreamConfig | None, defaults: ForwardingConfig, *, stream: bool
) -> Timeouts:
    levels = [written.timeouts, *([upstream.timeouts] if upstream else []), defaults.timeouts]
    made = Timeouts(**{key: _nearest(levels, key) for key in TimeoutsConfig.model_fields})
    if stream:
        own = written.timeouts
        unwritten = {key: None for key in ("idle", "total") if key not in own.model_fields_set}
        return replace(made, **unwritten)
    return made


def _host(written: RouteConfig, upstream: UpstreamConfig | None, defaults: ForwardingConfig) -> Any:
    if "host_header" in written.model_fields_set:
        return written.host_header
    if upstream is not None and "host" in upstream.model_fields_set:
        return upstream.host
    return defaults.host_header


def _websocket(levels: Sequence[ForwardingConfig]) -> WebSocketOptions | None:
    written = _nearest(levels, "websocket")
    if written is None:
        return None
    return WebSocketOptions(written.origins, written.token_from, written.idle, written.lifetime)


def _cors(written: RouteCorsConfig | None) -> Cors | None:
    if written is None:
        return None
    return Cors(
        frozenset(written.origins),
        headers=", ".join((HEADERS, *written.headers)),
        exposed=", ".join((EXPOSED, *written.expose)),
        max_age=round(written.max_age),
        credentials=written.credentials,
    )


def _retry(written: RetryConfig) -> Retry:
    return Retry(written.attempts, frozenset(written.when), written.per_try, written.budget_percent)
