"""The service behind every proxy: nginx on the load's core, with fixed answers and kept connections."""

import http.client
import json
from pathlib import Path
from typing import Self

from tests.bench.peers.nginx import fill, user_line
from tests.bench.processes import Program, answers, free_port

SMALL_BYTES = 400
LARGE_BYTES = 16 * 1024
STREAM_BYTES = 100 * 10**6
SIZES = {"/api/large": LARGE_BYTES, "/api/huge": 2**20, "/api/stream": STREAM_BYTES}
"""Bytes of each answer; all others have SMALL_BYTES."""

_CONF = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
@USER@
pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path @DIR@/body;
  proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi;
  uwsgi_temp_path @DIR@/uwsgi;
  scgi_temp_path @DIR@/scgi;
  keepalive_timeout 300s;
  keepalive_requests 100000000;
  default_type application/json;
  open_file_cache max=10 inactive=1h;
  open_file_cache_valid 1h;
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    root @DIR@/files;
    location = /api/small { return 200 '@SMALL@'; }
    location = /api/echo { return 200 '@SMALL@'; }
    location = /requests { stub_status; }
  }
}
"""


class Upstream(Program):
    """The running upstream."""

    def __init__(self, directory: Path, *, cpu: int) -> None:
        self.port = free_port()
        files = directory / "files" / "api"
        files.mkdir(parents=True)
        (files / "large").write_text(_answer(LARGE_BYTES))
        (files / "huge").write_text(_answer(SIZES["/api/huge"]))
        with (files / "stream").open("wb") as stream:
            stream.truncate(STREAM_BYTES)  # a hole: read as zeros, without a disk
        text = fill(_CONF, USER=user_line(), DIR=directory, PORT=self.port, SMALL=_answer(SMALL_BYTES))
        conf = directory / "nginx.conf"
        conf.write_text(text)
        super().__init__("upstream", ["nginx", "-p", str(directory), "-c", str(conf)], cpu=cpu, directory=directory)

    def __enter__(self) -> Self:
        try:
            self.await_ready(lambda: answers(self.port))
        except BaseException:
            self.stop()
            raise
        return self

    def requests(self) -> int:
        """How many requests it has seen (ngx_http_stub_status_module), this one not counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/requests")
            said = connection.getresponse().read().decode()
        finally:
            connection.close()
        return int(said.splitlines()[2].split()[2]) - 1


def _answer(size: int) -> str:
    """A JSON object of exactly *size* bytes."""
    item = {"id": 4711, "status": "shipped", "total": "129.90", "note": ""}
    item["note"] = "n" * (size - len(json.dumps(item)))
    return json.dumps(item)
