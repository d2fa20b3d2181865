"""REST of identity."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from server.core.errors import DomainError
from server.core.limits import RATE_LIMITED, Limited
from server.core.permissions import Permission
from server.domain.identity import actions as identity
from server.domain.identity import rules
from server.domain.identity.models import (
    EMAIL_TAKEN,
    HANDLE_TAKEN,
    ID_TAKEN,
    REFRESH_INVALID,
    REFRESH_REUSED,
    REGISTRATION_CLOSED,
    WRONG_PASSWORD,
    Credentials,
    NewUser,
    Origin,
    OwnRole,
    ProfileChange,
    RefreshRequest,
    SignIn,
    User,
)
from server.handlers.http import Request, Routes

routes = Routes("identity")


@routes.post("/auth/register", needs=None, errors=(EMAIL_TAKEN, ID_TAKEN, HANDLE_TAKEN, REGISTRATION_CLOSED))
async def register(request: Request, body: NewUser) -> SignIn:
    """Join, and be signed in."""
    if body.role is OwnRole.TRAINER and not request.services.trainer_registration:
        raise DomainError(REGISTRATION_CLOSED)
    password_hash = await request.services.passwords.hash(body.password)
    async with request.begin() as tx:
        return await identity.register(tx, request.services.tokens, body, password_hash, _origin(request))


@routes.post("/auth/login", needs=None, status=200, errors=(WRONG_PASSWORD, RATE_LIMITED))
async def login(request: Request, body: Credentials) -> SignIn:
    """Sign in with e-mail and password."""
    # Two short transactions: no connection waits while the password is compared, which is slow on purpose.
    with _guess(request, rules.normal_email(body.email)):
        async with request.read() as tx:
            known = await identity.find_login(tx, body.email)
        password_hash = known.password_hash if known else None
        if not await request.services.passwords.matches(password_hash, body.password) or known is None:
            raise DomainError(WRONG_PASSWORD)
    async with request.begin() as tx:
        return await identity.login(tx, request.services.tokens, known.id, _origin(request))


@routes.post("/auth/refresh", needs=None, status=200, errors=(REFRESH_INVALID, REFRESH_REUSED))
async def refresh(request: Request, body: RefreshRequest) -> SignIn:
    """Spend a refresh token for a new pair of tokens. It works once; a second use closes the session."""
    async with request.begin() as tx:
        return await identity.refresh(tx, request.services.tokens, body.refresh_token, _origin(request))


@routes.post("/auth/logout", needs=Permission.LOGOUT, status=204)
async def logout(request: Request) -> None:
    """End this session: its tokens are void and its sockets are closed."""
    async with request.begin() as tx:
        await identity.logout(tx)


@routes.get("/users/me", needs=Permission.READ_ME)
async def show_me(request: Request) -> User:
    """Show one's own profile."""
    async with request.read() as tx:
        return await identity.show_me(tx)


@routes.put("/users/me", needs=Permission.UPDATE_ME, errors=(HANDLE_TAKEN,))
async def update_me(request: Request, body: ProfileChange) -> User:
    """Change one's own profile; what is left out stays."""
    async with request.begin() as tx:
        return await identity.update_me(tx, body)


def _guess(request: Request, email: str) -> AbstractContextManager[None]:
    """Count wrong passwords. Those that are refused for the address alone count for nobody else."""
    return request.services.limits.only_failures(
        WRONG_PASSWORD,
        time.monotonic(),
        (Limited.GUESS, (email, request.address)),
        (Limited.GUESS_BY_ADDRESS, request.address),
        (Limited.GUESS_OF_ACCOUNT, email),
    )


def _origin(request: Request) -> Origin:
    # aiohttp keeps bytes that are not UTF-8 as surrogates, which PostgreSQL cannot.
    agent = request.raw.headers.get("User-Agent", "")[:300].encode(errors="replace").decode()
    return Origin(request.address or None, agent or None)
