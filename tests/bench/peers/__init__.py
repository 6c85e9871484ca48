"""The proxies of the comparison, in the order in which the report lists them."""

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.peers.envoy import ENVOY, ENVOY_NO_CACHE
from tests.bench.peers.gateway import GATEWAY, WITHOUT
from tests.bench.peers.haproxy import HAPROXY, HAPROXY_FULL
from tests.bench.peers.naive import NAIVE
from tests.bench.peers.nginx import NGINX, NGINX_NJS

__all__ = ["DEFAULT", "KNOWN", "PEERS", "Launch", "Peer", "Place"]

PEERS = {peer.name: peer for peer in (NGINX, GATEWAY, HAPROXY, HAPROXY_FULL, ENVOY, ENVOY_NO_CACHE, NAIVE, NGINX_NJS)}

KNOWN = PEERS | {peer.name: peer for peer in WITHOUT}
"""All that a scenario can name, the variants of the gateway included."""

DEFAULT = ("nginx", "gateway", "haproxy", "envoy", "envoy-nocache", "naive")
"""Measured unless asked otherwise."""
