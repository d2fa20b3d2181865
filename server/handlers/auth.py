"""Who asks: the bearer token of a request."""

from __future__ import annotations

from server.core.actor import ANONYMOUS, Actor
from server.core.errors import UNAUTHENTICATED, DomainError
from server.domain.identity import actions as identity
from server.handlers.http import Services


async def authenticate(services: Services, authorization: str) -> Actor:
    """Return who an `Authorization: Bearer …` header stands for (RFC 6750), or raise why it stands for nobody."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise DomainError(UNAUTHENTICATED)
    claims = identity.read_claims(services.tokens, token.strip())
    async with services.database.read(ANONYMOUS) as tx:
        return await identity.authenticate(tx, claims)
