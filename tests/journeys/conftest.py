"""One demo gateway for everything that only talks to it; a test that ends or upsets a gateway starts its own."""

from collections.abc import Iterator

import pytest

from gateway.running import demo_upstream
from tests.journeys.house import Gateway, running
from tests.journeys.pair import Redis


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The demo's service, in this process."""
    with demo_upstream() as url:
        yield url


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server for one file's gateways to share."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The demo, as `make run` starts it; in the end it must have noticed no mistake of its own."""
    with running(tmp_path_factory.mktemp("demo"), demo=True) as gateway:
        yield gateway
        assert gateway.faults() == []
