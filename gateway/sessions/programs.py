"""Tokens that programs get for themselves, and assertions that count once: what the token endpoint asks of the store.

Such a token belongs to no session, so nothing is kept of it. Its time of issue is the store's all the same, so that
ending everything of a client, and the tokens before and after it, are ordered by one clock.
"""

from collections.abc import Callable, Mapping

from gateway.errors import Refused, refuse
from gateway.sessions.people import Pool
from gateway.sessions.revocations import Kind, Revocations, durable_name
from gateway.sessions.store import SessionStore
from gateway.tokens.clients import Assertion, Client
from gateway.tokens.issue import AccessToken, Issuer, Unissuable
from gateway.tokens.secrets import Secrets, subject_tag


class Programs:
    """Every method raises `StoreUnavailable` or `Refused` where no answer can be given now."""

    def __init__(
        self,
        *,
        store: SessionStore,
        issuer: Issuer,
        issuer_name: str,
        secrets: Secrets,
        table: Revocations,
        pool: Pool,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*issuer_name* is that of *issuer*; *on_event* is the audit."""
        self._store = store
        self._issuer = issuer
        self._issuer_name = issuer_name
        self._secrets = secrets
        self._table = table
        self._pool = pool
        self._on_event = on_event

    async def token(self, client: Client, scopes: tuple[str, ...]) -> AccessToken:
        """Sign a token for *client* with *scopes*."""
        subject = client.subject
        tag = subject_tag(self._secrets, self._issuer_name, subject.tenant, subject.sub)
        fields = [durable_name(Kind.CLIENT, client.name), durable_name(Kind.ALL, "")]
        if subject.tenant is not None:
            fields.append(durable_name(Kind.TENANT, subject.tenant))
        wide_cut = self._table.wide_cut(client.name, subject.tenant, tag.hex())
        stamp = await self._store.stamp(*fields, wide_cut=wide_cut)
        try:
            return await self._pool.run(self._issuer.client_token, client.name, subject, stamp_ms=stamp, scopes=scopes)
        except Unissuable as error:
            self._on_event("token_unissuable", {"client_id": client.name, "reason": str(error)})
            raise Refused(refuse("internal_error", "token_unissuable")) from error

    async def spend(self, client: Client, assertion: Assertion, now: float) -> bool:
        """Use *assertion* up; False when somebody did so before."""
        return await self._store.spend_assertion(client.name, assertion.token_id, assertion.until - now)
