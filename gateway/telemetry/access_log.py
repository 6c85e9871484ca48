"""The access log's two forms: JSON lines for machines, one aligned line for a person at a terminal."""

import time

import msgspec

from gateway.telemetry.record import Record


class JsonLines:
    """Records as JSON, one object per line.

    Filled into a template rather than encoded as an object, which halves the price: `common` encodes once what many
    requests share, and `line` adds the numbers.
    """

    def __init__(self) -> None:
        self._millisecond = -1
        self._stamp = b""
        self._encode = msgspec.json.Encoder().encode

    def common(self, record: Record) -> bytes:
        """Return the members that stand for *record*'s common fields; the rest of its line."""
        members = {
            "client_ip": record.address,
            "method": record.method.decode("latin-1"),
            "host": record.host.decode("latin-1"),
            "path": record.path.decode("latin-1"),
            "status": record.status,
            "route": record.route,
            "upstream": record.upstream,
            "target": record.target,
            "sub": record.subject,
            "code": record.code,
            "reason": record.reason,
        }
        return self._encode({name: value for name, value in members.items() if value != ""})[1:] + b"\n"

    def line(self, record: Record, common: bytes) -> bytes:
        at, request_id, bytes_in, bytes_out, seconds, up = record[:6]
        millisecond = int(at * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            self._stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03d}Z".encode()
        return (
            b'{"ts":"%b","msg":"access","request_id":"%b","bytes_in":%d,"bytes_out":%d,'
            b'"duration_ms":%.3f,"upstream_ms":%.3f,"overhead_ms":%.3f,%b'
        ) % (
            self._stamp,
            request_id,
            bytes_in,
            bytes_out,
            seconds * 1e3,
            up * 1e3,
            (seconds - up) * 1e3,
            common,
        )


_COLOURS = {2: "32", 3: "36", 4: "33", 5: "31"}
_WIDTH = 28


class TextLines:
    """Records for a person: time, status, what, route, who, how long, and why not."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def common(self, _record: Record) -> bytes:
        return b""  # a person reads few lines: nothing is worth remembering

    def line(self, r: Record, _common: bytes) -> bytes:
        clock = time.strftime("%H:%M:%S", time.localtime(r.at))
        status = f"{r.status}"
        if self._colour:
            status = f"\x1b[{_COLOURS.get(r.status // 100, '0')}m{status}\x1b[0m"
        path = _printable(r.path.decode("latin-1"))
        spent = f"{r.seconds * 1e3:8.1f} ms"
        if r.upstream_seconds:
            spent += f" (gateway {(r.seconds - r.upstream_seconds) * 1e3:.1f})"
        why = ""
        if r.code or r.reason:
            at = f" [{r.upstream}{' ' + r.target if r.target else ''}]" if r.upstream and r.status >= 500 else ""
            why = f"  {r.code}{': ' if r.code and r.reason else ''}{_printable(r.reason)}{at}"
        what = f"{r.method.decode('latin-1'):<6} {path:<{_WIDTH}}"
        text = f"{clock} {status} {what} {r.route or '-':<10} {_printable(r.subject) or '-':<8} {spent}{why}\n"
        return text.encode("utf-8", "backslashreplace")


def _printable(text: str) -> str:
    """Keep a terminal safe from what a client sent: no control characters, no escape sequences (CWE-117)."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
