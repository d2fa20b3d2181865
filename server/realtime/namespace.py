"""A Socket.IO namespace, declared once: its commands serve, validate and document themselves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

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

        A handler that waits for nothing is a plain function and answered at once; one that leaves the waiting to
        somebody else is a plain function too, and returns a future. Neither costs a task.
        """

        def register(handler: H) -> H:
            name = handler.__name__.removeprefix("on_")
            hints = get_type_hints(handler, include_extras=True)
            summary = inspect.getdoc(handler) or ""
            answer = _answer_of(hints["return"])
            self.commands[name] = Command(name, needs, errors, handler, hints["body"], answer, summary, limited)
            return handler

        return register

    def event(
        self, name: str, data: Any, summary: str, *, sequenced: bool = False, shedding: Shedding = Shedding.KEPT
    ) -> LiveEvent:
        """Declare an event."""
        event = LiveEvent(self.path, name, data, sequenced, summary, shedding)
        self.events.append(event)
        return event

    def begin(self, connection: Connection, event: Sequence[Any]) -> Ack | Awaitable[Any]:
        """Begin a command. Return its ack, or what has to be waited for before there is one (see `conclude`)."""
        try:
            command, body = self._read(connection, event)
            result = command.handler(connection, body)
        except DomainError as error:
            return failed(error)
        except Exception:
            log.exception("command_failed", connection_id=connection.id, command=f"{self.path} {event[0]}")
            return failed(DomainError(INTERNAL))
        if inspect.iscoroutine(result):
            return _noted(connection, f"{self.path} {command.name}", result)
        return result if asyncio.isfuture(result) else done(result)

    def _read(self, connection: Connection, event: Sequence[Any]) -> tuple[Command, Any]:
        if not event:
            raise DomainError(MALFORMED, "Text with half a surrogate pair")
        name, *arguments = event
        command = self.commands.get(name)
        if command is None:
            raise DomainError(UNKNOWN_COMMAND)
        if command.limited is not None:
            connection.limit(command.limited)
        if len(arguments) > 1:
            raise DomainError(INVALID, "A command has one argument")
        return command, validation.convert(arguments[0] if arguments else {}, command.body)


def conclude(answer: asyncio.Future[Any]) -> Ack:
    """Say how a command went that had to be waited for. Whatever happened, there is an ack and never an exception."""
    try:
        return done(answer.result())
    except DomainError as error:
        return failed(error)
    except asyncio.CancelledError:
        return failed(DomainError(UNAVAILABLE))
    except Exception:
        log.exception("command_failed")
        return failed(DomainError(INTERNAL))


async def _noted(connection: Connection, command: str, answer: Coroutine[Any, Any, Any]) -> Any:
    """Do a command in a task of its own, whose log lines say which it is."""
    structlog.contextvars.bind_contextvars(
        request_id=connection.next_request_id(), connection_id=connection.id, command=command
    )
    return await answer


def _answer_of(returned: Any) -> Any:
    """Return the type of an answer that a handler gives, now or later."""
    return get_args(returned)[0] if get_origin(returned) is asyncio.Future else returned
