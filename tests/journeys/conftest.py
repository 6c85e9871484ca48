"""One demo gateway for everything that only talks to it; a test that ends or upsets a gateway starts its own."""

from collections.abc import Iterator

import pytest

from gateway.running import demo_upstream
from tests.journeys.house import Gateway, running


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The demo's service, in this process."""
    with demo_upstream() as url:
        yield url


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The demo, as `make run` starts it; in the end it must have noticed no mistake of its own."""
    with running(tmp_path_factory.mktemp("demo"), demo=True) as gateway:
        yield gateway
        assert gateway.faults() == []
