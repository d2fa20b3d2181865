"""A Socket.IO namespace, declared once: its commands serve, validate and document themselves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import structlog

from server.core import validation
from server.core.errors import INTERNAL, INVALID, MALFORMED, UNAVAILABLE, UNKNOWN_COMMAND, DomainError, ErrorCase
from server.core.limits import Limited
from server.core.permissions import Permission
from server.core.ports import LiveEvent, Shedding
from server.realtime.wire import Ack, done, failed

if TYPE_CHECKING:
    from server.realtime.connection import Connection

log = structlog.get_logger(__name__)
COMMAND_SECONDS = 10
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Command:
    """Something clients may say. `on_send_message` serves the command `send_message`."""

    name: str
    needs: Permission
    errors: tuple[ErrorCase, ...]
    handler: Callable[[Connection, Any], Any]
    body: Any
    answer: Any
    summary: str
    limited: Limited | None
    waits: bool


@dataclass
class Namespace:
    """What clients may say and what clients are told under one path."""

    path: str
    summary: str
    commands: dict[str, Command] = field(default_factory=dict)
    events: list[LiveEvent] = field(default_factory=list)

    def command(
        self, *, needs: Permission, errors: tuple[ErrorCase, ...] = (), limited: Limited | None = None
    ) -> Callable[[H], H]:
        """Declare a command: `async def on_<name>(connection, body: T) -> answer`.

        A handler that waits for nothing is a plain function: it is answered at once, without a task.
        """

        def register(handler: H) -> H:
            name = handler.__name__.removeprefix("on_")
            hints = get_type_hints(handler, include_extras=True)
            summary = inspect.getdoc(handler) or ""
            waits = inspect.iscoroutinefunction(handler)
            self.commands[name] = Command(
                name, needs, errors, handler, hints["body"], hints["return"], summary, limited, waits
            )
            return handler

        return register

    def event(
        self, name: str, data: Any, summary: str, *, sequenced: bool = False, shedding: Shedding = Shedding.KEPT
    ) -> LiveEvent:
        """Declare an event."""
        event = LiveEvent(self.path, name, data, sequenced, summary, shedding)
        self.events.append(event)
        return event

    def answer_now(self, connection: Connection, event: Sequence[Any]) -> Ack | None:
        """Answer what waits for nothing; None says that the command has to be awaited with `answer`."""
        if not event:
            return failed(DomainError(MALFORMED, "Text with half a surrogate pair"))
        name, *arguments = event
        command = self.commands.get(name)
        if command is None:
            return failed(DomainError(UNKNOWN_COMMAND))
        if command.waits:
            return None
        try:
            return done(command.handler(connection, _typed(connection, command, arguments)))
        except DomainError as error:
            return failed(error)
        except Exception:
            log.exception("command_failed", connection_id=connection.id, command=f"{self.path} {name}")
            return failed(DomainError(INTERNAL))

    async def answer(self, connection: Connection, event: Sequence[Any]) -> Ack:
        """Do a command and say how it went. Whatever happens, there is an ack and never an exception."""
        if (ack := self.answer_now(connection, event)) is not None:
            return ack
        name, *arguments = event
        command = self.commands[name]
        structlog.contextvars.bind_contextvars(
            request_id=connection.next_request_id(), connection_id=connection.id, command=f"{self.path} {name}"
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return done(await command.handler(connection, _typed(connection, command, arguments)))
        except DomainError as error:
            return failed(error)
        except TimeoutError:
            log.warning("command_timed_out")
            return failed(DomainError(UNAVAILABLE))
        except Exception:
            log.exception("command_failed")
            return failed(DomainError(INTERNAL))


def _typed(connection: Connection, command: Command, arguments: Sequence[object]) -> Any:
    if command.limited is not None:
        connection.limit(command.limited)
    if len(arguments) > 1:
        raise DomainError(INVALID, "A command has one argument")
    return validation.convert(arguments[0] if arguments else {}, command.body)
