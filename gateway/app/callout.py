"""The users' service as it is reached: its TLS, the token that is shown to it, and how many ask it at once."""

import asyncio
import ssl

from gateway.app.tls import client_tls
from gateway.config.verify import CalloutConfig
from gateway.errors import Refused, refuse
from gateway.outbound.client import Answer, Failed, Outbound
from gateway.users.callout import MAX_ANSWER, Heard, Silence

_QUEUE = 16
"""Questions that may wait for each one under way."""


class UsersService:
    """Asks, within `timeout` over everything."""

    def __init__(self, outbound: Outbound, written: CalloutConfig) -> None:
        """Raise ConfigError when a file for TLS cannot be used."""
        self._outbound = outbound
        self._timeout = written.timeout
        self._tls = service_tls(written)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **_token(written)}
        self._turns = asyncio.Semaphore(written.connections)
        self._most = written.connections * (1 + _QUEUE)
        self._asking = 0

    async def ask(self, url: str, question: bytes) -> Heard | Silence:
        """Return what the service says.

        Raises:
            Refused: (overloaded) too many wait already; nothing was asked.
        """
        if self._asking >= self._most:
            raise Refused(refuse("overloaded", "callout_queue_full", retry_after=1))
        self._asking += 1
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await self._answer(url, question)
        except TimeoutError:
            return Silence("timeout")
        finally:
            self._asking -= 1

    async def _answer(self, url: str, question: bytes) -> Heard | Silence:
        answer = await self._post(url, question)
        if isinstance(answer, Failed) and answer.reason == "reset" and not answer.status:
            # A kept connection that the other side closes just now is no outage: once more, on another.
            answer = await self._post(url, question)
        return Silence(answer.reason) if isinstance(answer, Failed) else Heard(answer.status, answer.body)

    async def _post(self, url: str, question: bytes) -> Answer | Failed:
        return await self._outbound.post(
            url, question, timeout=self._timeout, max_bytes=MAX_ANSWER, headers=self._headers, ssl=self._tls
        )


def service_tls(written: CalloutConfig) -> ssl.SSLContext | None:
    """Return how the service is spoken to; None for the machine's own authorities.

    Raises:
        ConfigError: a file cannot be used.
    """
    named = written.ca_file is not None or written.certificate_file is not None
    return client_tls("login.verify.callout", written) if named else None


def _token(written: CalloutConfig) -> dict[str, str]:
    if written.token is None:
        return {}
    token = written.token.value.decode()
    return {"Authorization": f"Bearer {token}"} if written.token_header is None else {written.token_header: token}
