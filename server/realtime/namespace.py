"""A Socket.IO namespace, declared once: its commands serve, validate and document themselves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

import structlog

from server.core import validation
from server.core.errors import INTERNAL, INVALID, UNAVAILABLE, UNKNOWN_COMMAND, DomainError, ErrorCase
from server.core.ids import new_id
from server.core.permissions import Permission
from server.core.ports import LiveEvent
from server.realtime.connection import Connection
from server.realtime.wire import Ack, done, failed

log = structlog.get_logger(__name__)
COMMAND_SECONDS = 10
H = TypeVar("H", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Command:
    """Something clients may say. `on_send_message` serves the command `send_message`."""

    name: str
    needs: Permission
    errors: tuple[ErrorCase, ...]
    handler: Callable[[Connection, Any], Awaitable[Any]]
    body: Any
    answer: Any
    summary: str


@dataclass
class Namespace:
    """What clients may say and what clients are told under one path."""

    path: str
    summary: str
    commands: dict[str, Command] = field(default_factory=dict)
    events: list[LiveEvent] = field(default_factory=list)

    def command(self, *, needs: Permission, errors: tuple[ErrorCase, ...] = ()) -> Callable[[H], H]:
        """Declare a command: `async def on_<name>(connection, body: T) -> answer`."""

        def register(handler: H) -> H:
            name = handler.__name__.removeprefix("on_")
            hints = get_type_hints(handler, include_extras=True)
            summary = inspect.getdoc(handler) or ""
            self.commands[name] = Command(name, needs, errors, handler, hints["body"], hints["return"], summary)
            return handler

        return register

    def event(self, name: str, data: Any, summary: str, *, sequenced: bool = False) -> LiveEvent:
        """Declare an event."""
        event = LiveEvent(self.path, name, data, sequenced, summary)
        self.events.append(event)
        return event

    async def answer(self, connection: Connection, name: object, arguments: Sequence[object]) -> Ack:
        """Do a command and say how it went. Whatever happens, there is an ack and never an exception."""
        with structlog.contextvars.bound_contextvars(
            request_id=str(new_id()), connection_id=connection.id, command=f"{self.path} {str(name)[:40]}"
        ):
            try:
                async with asyncio.timeout(COMMAND_SECONDS):
                    return done(await self._do(connection, name, arguments))
            except DomainError as error:
                return failed(error)
            except TimeoutError:
                log.warning("command_timed_out")
                return failed(DomainError(UNAVAILABLE))
            except Exception:
                log.exception("command_failed")
                return failed(DomainError(INTERNAL))

    async def _do(self, connection: Connection, name: object, arguments: Sequence[object]) -> Any:
        command = self.commands.get(name) if isinstance(name, str) else None
        if command is None:
            raise DomainError(UNKNOWN_COMMAND)
        if len(arguments) > 1:
            raise DomainError(INVALID, "A command has one argument")
        body = validation.convert(arguments[0] if arguments else {}, command.body)
        return await command.handler(connection, body)
