"""The load generators: wrk for a closed loop with rotating tokens, h2load for a paced one; and what they print.

wrk gets every request ready-made from a Lua table, so that its own cost is the same for every proxy and small.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.processes import Failed, run
from tests.bench.scenarios import Call

SETTLE = 0.5
"""Seconds of a paced load left out of its latencies."""

_LUA = """\
local requests, last = {}, 0

function init(args)
  local tokens = {}
  for line in io.lines("@TOKENS@") do tokens[#tokens + 1] = line end
  local calls = {@CALLS@}
  local steps = #tokens
  if #tokens < 1000 then steps = #tokens * #calls end
  for step = 0, steps - 1 do
    local call = calls[step % #calls + 1]
    local headers = {["Authorization"] = "Bearer " .. tokens[step % #tokens + 1], ["Accept"] = "*/*"}
    local body = nil
    if call.body > 0 then
      body = string.rep("x", call.body)
      headers["Content-Type"] = "application/octet-stream"
    end
    requests[step + 1] = wrk.format(call.method, call.path, headers, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Closed(NamedTuple):
    """What wrk counted; times in microseconds."""

    requests: int
    microseconds: int
    refused: int
    """Answers that were not 2xx or 3xx."""
    broken: int
    """Connect, read, write errors and timeouts."""
    p50: int
    p99: int

    @property
    def rate(self) -> float:
        return self.requests / (self.microseconds / 1e6)


def script(directory: Path, name: str, calls: Sequence[Call], tokens: Sequence[str]) -> Path:
    """Write the wrk script that sends *calls* with *tokens* in turn."""
    listed = directory / f"{name}.tokens"
    listed.write_text("\n".join(tokens) + "\n")
    spread = interleaved(calls)
    lua = ", ".join(f'{{method="{call.method}", path="{call.path}", body={call.body}}}' for call in spread)
    path = directory / f"{name}.lua"
    path.write_text(_LUA.replace("@TOKENS@", str(listed)).replace("@CALLS@", lua))
    return path


def interleaved(calls: Sequence[Call]) -> list[Call]:
    """Each call as often as its share, spread evenly rather than in blocks."""
    placed = [((index + 0.5) / call.share, call) for call in calls for index in range(call.share)]
    return [call for _, call in sorted(placed, key=lambda item: item[0])]


def wrk(lua: Path, url: str, *, connections: int, seconds: float, cpu: int) -> Closed:
    """Keep *connections* busy for *seconds* and count.

    Raises:
        Failed: wrk failed or printed no summary.
    """
    # wrk takes whole seconds only.
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(lua), url]
    return parse_wrk(run(argv, cpu=cpu, within=seconds + 60))


def parse_wrk(printed: str) -> Closed:
    """The summary our script prints as JSON on a line of its own."""
    for line in printed.splitlines():
        if line.startswith("BENCH "):
            return Closed(**json.loads(line.removeprefix("BENCH ")))
    raise Failed(f"wrk printed no summary: {printed[-500:]}")


class Paced(NamedTuple):
    """What h2load logged, request by request; latencies in microseconds."""

    requests: int
    refused: int
    seconds: float
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def h2load(url: str, token: str, *, connections: int, rate: float, seconds: int, cpu: int, log: Path) -> Paced:
    """Send *rate* requests per second over *connections*, whatever the answers take.

    Connections are opened a millisecond apart: h2load wakes each one at its own pace, and opened together they would
    all send in the same instant, so that one would measure the queue they make.

    Raises:
        Failed: h2load failed or logged nothing.
    """
    log.unlink(missing_ok=True)
    argv = ["h2load", "--h1", "-t1", f"-c{connections}", "-r1", "--rate-period=1ms", f"-n{round(rate * seconds)}"]
    argv += [f"--rps={rate / connections:.4f}", f"--log-file={log}", "-H", f"authorization: Bearer {token}", url]
    run(argv, cpu=cpu, within=seconds * 3 + 60)
    return parse_h2load(log.read_text())


def parse_h2load(log: str, settle: float = SETTLE) -> Paced:
    """Rows of `start µs`, `status`, `duration µs`, tab-separated (h2load(1) --log-file).

    The first *settle* seconds, in which connections are still being opened, count as requests and not as latencies.
    """
    rows = [tuple(map(int, line.split("\t")[:3])) for line in log.splitlines() if line]
    if not rows:
        raise Failed("h2load logged no request")
    begun, ended = min(row[0] for row in rows), max(row[0] for row in rows)
    durations = sorted(row[2] for row in rows if row[0] >= begun + settle * 1e6)
    if not durations:
        raise Failed("h2load ended before its connections had settled")
    return Paced(
        requests=len(rows),
        refused=sum(not 200 <= row[1] < 400 for row in rows),
        seconds=(ended - begun) / 1e6,
        p50=percentile(durations, 50),
        p99=percentile(durations, 99),
        p999=percentile(durations, 99.9),
    )


def percentile(ordered: Sequence[float], rank: float) -> float:
    """The smallest value that at least *rank* percent of *ordered* do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * rank / 100) - 1)]
