"""Limits in the file: what they amount to, what is inherited, and what deserves a second look."""

from pathlib import Path

import pytest

from gateway.config.leaves import difference
from gateway.config.limits import limits_of
from gateway.config.routes import route_table
from tests.config.files import loaded
from tests.config.test_lint import said

BASE = "login: {verify: {file: users.yaml}}\nupstreams: {app: http://app}\n"
USERS = "users: {}\n"


def words(directory: Path, limits: str) -> str:
    """Return what the limit `x` amounts to, for people."""
    return str(limits_of(loaded(directory, f"limits: {{x: {limits}}}\n").limits)["x"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("{by: address, rate: 60/m}", "60/m by address", id="a rate is its own burst"),
        pytest.param("{by: address, rate: 60/m, burst: 5}", "60/m, 5 at once by address", id="a burst"),
        pytest.param("{by: route, rate: 100/10s}", "100/10s by route", id="an odd time"),
        pytest.param("{by: claim.org.id, rate: 5000/1d}", "5000/d by claim.org.id", id="a claim's path"),
        pytest.param("{by: header.X-Api-Key, max_inflight: 3}", "3 in flight by header.x-api-key", id="in flight"),
        pytest.param("{by: address, rate: 2/s, max_inflight: 3}", "2/s, 3 in flight by address", id="both"),
        pytest.param(
            "{by: claim.sub, rate: 60/m, plans: {claim: plan, pro: 600/m, vip: none}}",
            "60/m by claim.sub; pro: 600/m; vip: no limit",
            id="plans",
        ),
        pytest.param(
            "{by: claim.sub, rate: 60/m, burst: 9, max_inflight: 2, plans: {claim: plan, pro: 600/m}}",
            "60/m, 9 at once, 2 in flight by claim.sub; pro: 600/m, 9 at once, 2 in flight",
            id="a plan has what it does not say from the limit",
        ),
        pytest.param(
            "{by: claim.sub, rate: 60/m, plans: {claim: plan, pro: {burst: 90, max_inflight: 4}}}",
            "60/m by claim.sub; pro: 60/m, 90 at once, 4 in flight",
            id="a plan's own burst",
        ),
    ],
)
def test_what_is_written_amounts_to(tmp_path: Path, written: str, meant: str) -> None:
    assert words(tmp_path, written) == meant


def test_a_limit_is_inherited_key_by_key_and_none_ends_it(tmp_path: Path) -> None:
    text = (
        "limits: {a: {by: address, rate: 1/s}, b: {by: route, rate: 1/s}}\n"
        "defaults: {limit: a, auth: public}\n"
        "routes:\n"
        "  - {path: /inherits, to: app}\n"
        "  - {path: /own, to: app, limit: [b, a]}\n"
        "  - {path: /free, to: app, limit: none}\n"
        "  - {path: /method, to: app, methods: {GET: {limit: b}, POST: {}}}\n"
    )
    table = route_table(loaded(tmp_path, BASE + text, users=USERS))
    found = {route.template: [rule.limits for rule in route.rules.values()] for route in table.routes}
    assert found["/inherits"][0] == ("a",)
    assert found["/own"][0] == ("b", "a")
    assert found["/free"][0] == ()
    assert found["/method"] == [("b",), ("a",)]


def test_a_reload_tells_which_number_of_which_plan_has_changed(tmp_path: Path) -> None:
    text = "limits: {{x: {{by: claim.sub, rate: 60/m, plans: {{claim: plan, pro: {}}}}}}}\n"
    before, after = (loaded(tmp_path, text.format(rate)) for rate in ("600/m", "900/m"))
    assert difference(before, after) == ["limits.x.plans.pro.rate: 600/m → 900/m"]


PUBLIC = "routes:\n  - {path: /x, to: app, auth: public, limit: LIMIT}\n"
FINDINGS = [
    pytest.param(
        f"limits: {{k: {{by: header.X-Key, rate: 1/s}}}}\n{PUBLIC.replace('LIMIT', 'k')}",
        ["7: routes[0].limit: whoever sends another value each time is held by no limit here"],
        id="a header alone",
    ),
    pytest.param(
        "limits: {k: {by: header.X-Key, rate: 1/s}, ip: {by: address, rate: 1/s}}\n"
        + PUBLIC.replace("LIMIT", "[k, ip]"),
        [],
        id="a header and an address",
    ),
    pytest.param(
        "server: {public_url: https://api.example.com}\nlimits: {ip: {by: address, rate: 1/s}}\n"
        + PUBLIC.replace("LIMIT", "ip"),
        ["6: limits.ip.by: what does TLS in front of this gateway has one address, and all clients share its limit"],
        id="an address behind something",
    ),
]


@pytest.mark.parametrize(("text", "findings"), FINDINGS)
def test_what_holds_nobody_or_everybody_at_once_is_said(tmp_path: Path, text: str, findings: list[str]) -> None:
    assert said(tmp_path, text) == findings
