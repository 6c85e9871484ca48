"""The machine's clock jumps by an hour: nobody is logged out, and nothing that is over comes back.

The time is this process's alone, as a step of its clock is; the store goes by its own, and every token is judged by the
store's. What the gateway knows of the distance between the two is renewed every two seconds.
"""

import asyncio
import time
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from tests.app.home import home


class Stepping(SystemClock):
    """A clock that can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.wall = lambda: time.time() + self.ahead


@pytest.mark.item(170, "clock steps")
@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_step_of_the_clock_logs_nobody_out_and_lets_nobody_in(tmp_path: Path, step: float) -> None:
    clock = Stepping()
    async with home(tmp_path, clock=clock) as house:
        token = await house.login()
        gone = await house.login()
        assert (await house.client.post("/auth/logout", headers=gone)).status_code == 204
        answer = await house.client.post("/auth/login", json={"username": "ana", "password": "demo"})
        clock.ahead = step
        known = house.gateway.trust
        for _ in range(1000):
            if abs(known.offset + step) < 1:
                break
            await asyncio.sleep(0.01)
        assert abs(known.offset + step) < 1
        assert await house.status("/any/x", token) == 200
        assert await house.status("/any/x", gone) == 401
        refreshed = await house.client.post("/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]})
        assert refreshed.status_code == 200
        fresh = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
        assert await house.status("/any/x", fresh) == 200
        assert await house.status("/open/x") == 200
