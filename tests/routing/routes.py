"""Routes for tests: one line each."""

from gateway.routing.headers import Headers
from gateway.routing.table import Route, RouteOptions, Rule


def route(
    template: str,
    host: str | None = None,
    methods: str = "GET POST",
    *,
    index: int = 0,
    name: str | None = None,
    options: RouteOptions | None = None,
    headers: Headers = (),
) -> Route:
    return Route(
        name=name or f"{host or ''}{template}",
        index=index,
        place=f"gateway.yaml:{10 + index}",
        host=host,
        template=template,
        upstream="app",
        rules={method.encode(): Rule() for method in methods.split()},
        options=options or RouteOptions(),
        headers=headers,
    )
