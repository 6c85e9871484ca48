"""What holds the event loop up is seen: as a figure for a minute, and as an event when it is long."""

import asyncio
import time
from pathlib import Path

import pytest

from gateway.app.lag import STALL, WINDOW, Lag
from gateway.app.sight import Sight
from gateway.config.models import Config
from tests.app.home import home

NAME = "gateway_event_loop_lag_seconds"


@pytest.mark.item("event loop stalls")
async def test_a_stall_is_shown_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with home(tmp_path) as house:
        house.gateway.sight.events.write_as(level="info", text=False)
        await asyncio.sleep(0.3)  # the clockwork has turned once
        time.sleep(STALL + 0.3)
        await asyncio.sleep(0.3)
        assert house.metric(NAME) >= STALL
    assert "loop_stalled" in capfd.readouterr().err


def test_the_worst_of_the_last_minute_is_shown() -> None:
    now = 0.0
    sight = Sight(Config.model_validate({"version": 1, "telemetry": {"access_log": "off"}}))
    lag = Lag(sight, lambda: now, 0.25)

    def shown() -> float:
        text, _ = sight.exposition()
        return float(next(line for line in text.decode().splitlines() if line.startswith(f"{NAME} ")).split()[1])

    assert shown() == 0
    for step in (0.25, 0.75, 0.35, 0.25):
        lag.turn()
        now += step
    lag.turn()
    assert shown() == pytest.approx(0.5)
    now += WINDOW - 0.5
    assert shown() == pytest.approx(0.1)
    now += WINDOW
    assert shown() == 0
