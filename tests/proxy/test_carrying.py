"""Lines of the gateway's own on a service's answer."""

from gateway.proxy.answers import carrying

HEAD = (
    b"HTTP/1.1 200 OK\r\nX-A: b\r\nset-cookie: theme=dark\r\nVary: Accept\r\ncache-control: public\r\nratelimit: 9\r\n"
)


def test_lines_come_behind_those_of_the_service() -> None:
    assert carrying(HEAD, b"X-B: c\r\n") == HEAD + b"X-B: c\r\n"


def test_cookies_and_vary_add_up() -> None:
    lines = b"Set-Cookie: new\r\nVary: Origin\r\n"
    assert carrying(HEAD, lines) == HEAD + lines


def test_any_other_field_is_said_once_and_by_the_gateway() -> None:
    lines = b"RateLimit: 1\r\nCache-Control: private\r\n"
    assert carrying(HEAD, lines) == (b"HTTP/1.1 200 OK\r\nX-A: b\r\nset-cookie: theme=dark\r\nVary: Accept\r\n" + lines)


def test_a_name_inside_a_value_or_at_its_beginning_alone_is_another_field() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A: RateLimit: 1\r\nRateLimit-Policy: x\r\n"
    assert carrying(head, b"RateLimit: 1\r\n") == head + b"RateLimit: 1\r\n"


def test_a_service_that_forbids_storing_is_not_overruled() -> None:
    head = b"HTTP/1.1 200 OK\r\nCache-Control: No-Store\r\nContent-Length: 2\r\n"
    assert carrying(head, b"Cache-Control: private\r\n") == head + b"Cache-Control: private\r\n"
