"""Checking what comes in: the fast way first, and on a fault once more to name every field that is wrong."""

from __future__ import annotations

import re
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import fields

from server.core.errors import INVALID, MALFORMED, DomainError, FieldError

T = TypeVar("T")
_AT = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_PATTERN = "matching regex"
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|\.(\w+)")


def parse_json(raw: bytes) -> Any:
    """Decode JSON into plain values, or raise `malformed`."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DomainError(MALFORMED, str(error)) from None


def convert(value: Any, type_: type[T], *, strict: bool = True) -> T:
    """Turn plain values into a typed struct, or raise `invalid` with an entry for every wrong field.

    `strict=False` also reads numbers and booleans from text, as paths and query strings need.
    """
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError:
        found = every_error(value, type_, strict=strict)
        raise DomainError(INVALID, errors=tuple(found)) from None


def every_error(value: Any, type_: Any, at: str = "", *, strict: bool = True) -> list[FieldError]:
    """List all faults of a value; msgspec itself stops at the first."""
    struct = _struct_for(value, type_)
    if struct is None or not isinstance(value, dict):
        return _first_error(value, type_, at, strict=strict)
    hints = get_type_hints(struct, include_extras=True)
    known = {field.encode_name: field for field in fields(struct)}
    tag = struct.__struct_config__.tag_field
    found = []
    if struct.__struct_config__.forbid_unknown_fields:
        found += [FieldError(f"{at}/{name}", "Unknown field") for name in value if name not in known and name != tag]
    for name, field in known.items():
        if name in value:
            found += every_error(value[name], hints[field.name], f"{at}/{name}", strict=strict)
        elif field.required:
            found.append(FieldError(f"{at}/{name}", "Required"))
    return found or _first_error(value, type_, at, strict=strict)


def _struct_for(value: Any, type_: Any) -> Any:
    """Return the struct a value is meant to be: the type itself, or the union's member with the value's tag."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    if get_origin(type_) in {Union, types.UnionType} and isinstance(value, dict):
        for member in get_args(type_):
            config = getattr(member, "__struct_config__", None)
            if config and config.tag is not None and value.get(config.tag_field) == config.tag:
                return member
    return None


def _first_error(value: Any, type_: Any, at: str, *, strict: bool) -> list[FieldError]:
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _AT.search(message)
        steps = _STEP.findall(place[1]) if place else []
        pointer = at + "".join(f"/{index or name}" for index, name in steps)
        says = _pattern_in_words(type_) if _PATTERN in message else None
        return [FieldError(pointer, says or _AT.sub("", message))]
    return []


def _pattern_in_words(type_: Any) -> str | None:
    """Return what a pattern asks for in words a person understands: the `says` of its Meta."""
    for part in getattr(type_, "__metadata__", ()):
        if isinstance(part, msgspec.Meta) and part.extra and "says" in part.extra:
            return str(part.extra["says"])
    return next((said for part in get_args(type_) if (said := _pattern_in_words(part))), None)
