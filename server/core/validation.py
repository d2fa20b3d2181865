"""Checking what comes in: the fast way first, and on a fault once more to name every field that is wrong."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import fields

from server.core.errors import INVALID, MALFORMED, DomainError, FieldError

T = TypeVar("T")
MOST_ERRORS = 50
_UNIONS = (Union, types.UnionType)
_AT = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_PATTERN = "matching regex"
_PHRASES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"Expected `str` of length >= (\d+)", "At least {} characters"),
        (r"Expected `str` of length <= (\d+)", "At most {} characters"),
        (r"Expected `(?:array|object)` of length >= (\d+)", "{} or more entries"),
        (r"Expected `(?:array|object)` of length <= (\d+)", "{} or fewer entries"),
        (r"Expected `(?:int|float)` >= (\S+)", "{} or more"),
        (r"Expected `(?:int|float)` <= (\S+)", "{} or less"),
        (r"Expected `(\w+)(?: \| null)?`, got `(\w+)`", "Expected {}, got {}"),
        (r"Invalid UUID", "Expected a UUID"),
        (r"Invalid enum value (.+)", "{} is not one of the choices"),
        (r"Invalid value (.+)", "{} is not one of the choices"),
    )
)
_NOUNS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "nothing",
    "uuid": "a UUID",
}
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
    """List the faults of a value, `MOST_ERRORS` at most; msgspec itself stops at the first."""
    return list(islice(_errors(value, type_, at, strict), MOST_ERRORS))


def pointer(at: str, name: object) -> str:
    """Return the JSON pointer (RFC 6901) to a part of what `at` points to."""
    return f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _errors(value: Any, type_: Any, at: str, strict: bool) -> Iterator[FieldError]:
    inside = _errors_inside(value, type_, at, strict)
    first = next(inside, None)
    if first is None:
        yield from _first_error(value, type_, at, strict)
    else:
        yield first
        yield from inside


def _errors_inside(value: Any, type_: Any, at: str, strict: bool) -> Iterator[FieldError]:
    """Find the faults of the parts of a value."""
    if struct := _struct_for(value, type_):
        yield from _field_errors(value, struct, at, strict)
    elif not _is_wrong_itself(value, type_, strict):
        # A list that is too long is not looked through.
        if isinstance(value, list) and (held := _held(type_, list)):
            for index, part in enumerate(value):
                yield from _errors(part, held[0], pointer(at, index), strict)
        elif isinstance(value, dict) and (held := _held(type_, dict)):
            for key, part in value.items():
                yield from _errors(key, held[0], pointer(at, key), strict)
                yield from _errors(part, held[1], pointer(at, key), strict)


def _field_errors(value: dict[Any, Any], struct: Any, at: str, strict: bool) -> Iterator[FieldError]:
    hints = get_type_hints(struct, include_extras=True)
    known = {field.encode_name: field for field in fields(struct)}
    config = struct.__struct_config__
    if config.forbid_unknown_fields:
        unknown = (name for name in value if name not in known and name != config.tag_field)
        yield from (FieldError(pointer(at, name), "Unknown field") for name in unknown)
    for name, field in known.items():
        if name in value:
            yield from _errors(value[name], hints[field.name], pointer(at, name), strict)
        elif field.required:
            yield FieldError(pointer(at, name), "Required")


def _struct_for(value: Any, type_: Any) -> Any:
    """Return the struct an object is meant to be: the type itself, or the union's member with the object's tag."""
    if not isinstance(value, dict):
        return None
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    if get_origin(type_) in _UNIONS:
        for member in get_args(type_):
            config = getattr(member, "__struct_config__", None)
            if config and (config.tag is None or value.get(config.tag_field) == config.tag):
                return member
    return None


def _held(type_: Any, kind: type) -> tuple[Any, ...]:
    """Return the types of what a list or dict holds, whatever is wrapped around its own type."""
    origin = get_origin(type_)
    if origin is kind:
        return get_args(type_)
    if origin is Annotated or origin in _UNIONS:
        return next((found for part in get_args(type_) if (found := _held(part, kind))), ())
    return ()


def _is_wrong_itself(value: Any, type_: Any, strict: bool) -> bool:
    """Whether the fault that msgspec finds first is not one of a part."""
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        return _AT.search(str(error)) is None
    return False


def _first_error(value: Any, type_: Any, at: str, strict: bool) -> list[FieldError]:
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _AT.search(message)
        steps = _STEP.findall(place[1]) if place else []
        found = at + "".join(f"/{index or name}" for index, name in steps)
        says = _pattern_in_words(type_) if _PATTERN in message else None
        return [FieldError(found, says or _in_words(_AT.sub("", message)))]
    return []


def _in_words(message: str) -> str:
    """Say what msgspec says in words for people who fill in a form."""
    for pattern, words in _PHRASES:
        if found := pattern.fullmatch(message):
            return words.format(*(_NOUNS.get(word, word) for word in found.groups()))
    return message


def _pattern_in_words(type_: Any) -> str | None:
    """Return what a pattern asks for in words a person understands: the `says` of its Meta."""
    for part in getattr(type_, "__metadata__", ()):
        if isinstance(part, msgspec.Meta) and part.extra and "says" in part.extra:
            return str(part.extra["says"])
    return next((said for part in get_args(type_) if (said := _pattern_in_words(part))), None)
