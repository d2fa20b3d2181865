"""The AsyncAPI 3.0 document and the protocol page, made from the namespaces that serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from server.core.ports import LiveEvent
from server.realtime.namespace import Command, Namespace
from server.realtime.wire import Ack, CommandError, Envelope

REF = "#/components/schemas/{name}"


def document(namespaces: Sequence[Namespace]) -> dict[str, Any]:
    """Describe every command and every event, with the shapes of their data."""
    types: list[Any] = [Ack, CommandError, Envelope]
    for namespace in namespaces:
        types += [part for command in namespace.commands.values() for part in (command.body, command.answer)]
        types += [event.data for event in namespace.events]
    found, components = msgspec.json.schema_components(types, ref_template=REF)
    schemas = iter(found[3:])
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for namespace in namespaces:
        channel = namespace.path.strip("/") or "session"
        messages: dict[str, Any] = {}
        for command in namespace.commands.values():
            body, answer = next(schemas), next(schemas)
            messages[command.name] = _message(command.name, command.summary, body)
            messages[f"{command.name}.ack"] = _message(
                f"{command.name}.ack", "The ack of a command that was done.", answer
            )
            operations[f"{channel}.{command.name}"] = _command(channel, command)
        for event in namespace.events:
            messages[event.name] = _message(event.name, event.summary, _envelope(event, next(schemas)))
            operations[f"{channel}.{event.name}"] = _event(channel, event)
        channels[channel] = {"address": namespace.path, "description": namespace.summary, "messages": messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "FitSync, live",
            "version": "1",
            "description": "Socket.IO v5 at /socket.io/ (JSON) and /socket.io-msgpack/, websocket transport. CONNECT carries `auth: {token}`. Every "
            "command is acked; every event has one argument, its envelope.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": components},
    }


def _message(name: str, summary: str, payload: Any) -> dict[str, Any]:
    return {"name": name, "summary": summary.partition("\n")[0], "payload": payload}


def _envelope(event: LiveEvent, data: Any) -> dict[str, Any]:
    seq = {"type": "integer", "minimum": 1} if event.sequenced else {"type": "null"}
    return {
        "allOf": [{"$ref": REF.format(name="Envelope")}, {"type": "object", "properties": {"seq": seq, "data": data}}]
    }


def _command(channel: str, command: Command) -> dict[str, Any]:
    place = f"#/channels/{channel}"
    return {
        "action": "receive",
        "channel": {"$ref": place},
        "messages": [{"$ref": f"{place}/messages/{command.name}"}],
        "reply": {"channel": {"$ref": place}, "messages": [{"$ref": f"{place}/messages/{command.name}.ack"}]},
        "x-permission": str(command.needs),
        "x-errors": [case.code for case in command.errors],
    }


def _event(channel: str, event: LiveEvent) -> dict[str, Any]:
    place = f"#/channels/{channel}"
    return {"action": "send", "channel": {"$ref": place}, "messages": [{"$ref": f"{place}/messages/{event.name}"}]}
