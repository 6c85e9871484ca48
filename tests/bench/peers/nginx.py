"""nginx: as a plain proxy without any check, the floor; and with `auth_request` answered by njs."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.processes import missing
from tests.bench.tokens import AUDIENCE, ISSUER, ROLE

MODULES = Path("/usr/lib/nginx/modules")

_CONF = """\
@LOAD@
daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile 20000;
@USER@
pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn;
events { worker_connections 16384; }
http {
  access_log @DIR@/access.log combined buffer=64k flush=1s;
  client_body_temp_path @DIR@/body;
  proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi;
  uwsgi_temp_path @DIR@/uwsgi;
  scgi_temp_path @DIR@/scgi;
  keepalive_timeout 300s;
  keepalive_requests 100000000;
  upstream app {
    server 127.0.0.1:@UPSTREAM@;
    keepalive 512;
    keepalive_requests 100000000;
  }
@HTTP@
  server {
    listen 127.0.0.1:@PORT@ @SSL@ backlog=4096;
@CERTIFICATE@
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr;
@SERVER@
  }
}
"""

_PLAIN = """\
    location / { proxy_pass http://app; }
"""

# What nginx needs to pass long bodies on as they come, instead of by way of a file.
_SINK = """\
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    location = /api/sink { proxy_pass http://127.0.0.1:@SINK@; }
"""

_NJS_HTTP = """\
  js_import auth from @DIR@/auth.js;
"""

_NJS_SERVER = """\
    location = /_auth { internal; js_content auth.check; }
    location / {
      auth_request /_auth;
      auth_request_set $sub $sent_http_x_sub;
      proxy_set_header X-User-Id $sub;
      proxy_set_header Authorization "";
      proxy_pass http://app;
    }
"""

_NJS = """\
const key = Buffer.from("@KEY@", "base64");
const algorithm = @ALGORITHM@;

async function check(r) {
  try {
    const parts = r.headersIn.Authorization.slice(7).split(".");
    const header = JSON.parse(Buffer.from(parts[0], "base64url"));
    if (header.alg !== "@ALG@") { r.return(401); return; }
    const k = await crypto.subtle.importKey("@FORMAT@", key, algorithm, false, ["verify"]);
    const good = await crypto.subtle.verify(
      algorithm, k, Buffer.from(parts[2], "base64url"), Buffer.from(parts[0] + "." + parts[1]));
    const claims = JSON.parse(Buffer.from(parts[1], "base64url"));
    if (!good || claims.exp * 1000 < Date.now() || claims.iss !== "@ISS@" || claims.aud !== "@AUD@") {
      r.return(401); return;
    }
    if (claims.roles.indexOf("@ROLE@") < 0) { r.return(403); return; }
    r.headersOut["X-Sub"] = claims.sub;
    r.return(204);
  } catch (e) { r.return(401); }
}

export default { check };
"""


def fill(template: str, **values: str | int | Path) -> str:
    """Put *values* in the place of `@NAME@`; a name left over is a mistake."""
    text = template
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    if left := re.search(r"@[A-Z]+@", text):
        raise KeyError(left.group())
    return text


def _plain(place: Place) -> Launch:
    sink = fill(_SINK, SINK=place.sink) if place.sink else ""
    return _nginx(place, http="", server=sink + _PLAIN, load="")


def _njs(place: Place) -> Launch:
    if place.alg == "RS256":
        public = serialization.load_pem_public_key(place.material.public_key.read_bytes())
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        key, form = public.public_bytes(serialization.Encoding.DER, spki), "spki"
        algorithm = {"name": "RSASSA-PKCS1-v1_5", "hash": "SHA-256"}
    else:
        key, form = place.material.secret.read_bytes(), "raw"
        algorithm = {"name": "HMAC", "hash": "SHA-256"}
    script = fill(
        _NJS,
        KEY=base64.b64encode(key).decode(),
        FORMAT=form,
        ALGORITHM=json.dumps(algorithm),
        ALG=place.alg,
        ISS=ISSUER,
        AUD=AUDIENCE,
        ROLE=ROLE,
    )
    place.file("auth.js", script)
    return _nginx(
        place,
        http=fill(_NJS_HTTP, DIR=place.directory),
        server=_NJS_SERVER,
        load=f"load_module {MODULES}/ngx_http_js_module.so;",
    )


def _nginx(place: Place, *, http: str, server: str, load: str) -> Launch:
    tls = place.material
    conf = fill(
        _CONF,
        LOAD=load,
        USER=user_line(),
        DIR=place.directory,
        UPSTREAM=place.upstream,
        PORT=place.port,
        SSL="ssl" if place.tls else "",
        CERTIFICATE=f"    ssl_certificate {tls.certificate}; ssl_certificate_key {tls.certificate_key};"
        "\n    ssl_protocols TLSv1.3;"
        if place.tls
        else "",
        HTTP=http,
        SERVER=server,
    )
    return Launch(["nginx", "-p", str(place.directory), "-c", str(place.file("nginx.conf", conf))])


def user_line() -> str:
    """As root nginx would run its worker as somebody who cannot read a private directory."""
    return "user root;" if os.geteuid() == 0 else ""


def _no_nginx() -> str | None:
    return missing("nginx")


def _no_njs() -> str | None:
    if (lacking := _no_nginx()) is not None:
        return f"{lacking} libnginx-mod-http-js"
    there = (MODULES / "ngx_http_js_module.so").exists()
    return None if there else "apt-get install libnginx-mod-http-js"


def _version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False)
    return said.stderr.strip().rpartition("/")[2]


NGINX = Peer(
    name="nginx",
    title="nginx, plain proxy, no check at all",
    does="nothing but forwarding: no token is looked at",
    records="access log (combined) to a file, buffer=64k flush=1s; no metrics",
    launch=_plain,
    missing=_no_nginx,
    version=_version,
    enforces=False,
)

NGINX_NJS = Peer(
    name="nginx-njs",
    title="nginx, auth_request with njs",
    does="signature, alg, exp, iss, aud, role by WebCrypto in njs; key imported per request, as njs has no place to "
    "keep it; sub to the upstream, Authorization removed",
    records="access log (combined) to a file, buffer=64k flush=1s; no metrics",
    launch=_njs,
    missing=_no_njs,
    version=_version,
    holds_rate=False,
)
