"""What is wrong with a value: every fault at once, each at its place."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from server.core.errors import INVALID, MALFORMED, DomainError
from server.core.validation import MOST_ERRORS, convert, every_error, parse_json, pointer
from server.domain.chat.models import NewDirect, NewGroup, NewMessage, Sync
from server.domain.identity.models import NewUser, ProfileChange


class Plate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kilos: Annotated[int, Meta(ge=1)]
    colour: str = "red"


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plates: Annotated[list[Plate], Meta(max_length=4)]
    owner: UUID
    labels: dict[str, int] = {}
    spare: Plate | None = None
    note: str | UnsetType = UNSET


def found(value: object, type_: Any) -> dict[str, str]:
    return {error.pointer: error.detail for error in every_error(value, type_)}


def test_a_good_value_has_no_faults() -> None:
    good = {"plates": [{"kilos": 20}], "owner": str(UUID(int=1)), "labels": {"a": 1}, "spare": {"kilos": 5}}
    assert every_error(good, Bar) == []
    assert convert(good, Bar).spare == Plate(5)


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    bad = {
        "plates": [{"kilos": 0}, {"kilos": 20}, {"colour": 1, "shine": True}],
        "owner": "me",
        "labels": {"a": 1, "b/c": "x", "d": None},
        "spare": {"kilos": "5", "colour": None},
        "note": None,
        "secret": 1,
    }
    assert found(bad, Bar) == {
        "/secret": "Unknown field",
        "/plates/0/kilos": "1 or more",
        "/plates/2/shine": "Unknown field",
        "/plates/2/kilos": "Required",
        "/plates/2/colour": "Expected a text, got a whole number",
        "/owner": "Expected a UUID",
        "/labels/b~1c": "Expected a whole number, got a text",
        "/labels/d": "Expected a whole number, got nothing",
        "/spare/kilos": "Expected a whole number, got a text",
        "/spare/colour": "Expected a text, got nothing",
        "/note": "Expected a text, got nothing",
    }


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_what_is_no_object_at_all_has_one_fault_at_the_root(value: object) -> None:
    assert list(found(value, Bar)) == [""]


def test_what_is_missing_is_required() -> None:
    assert found({}, NewUser) == {"/email": "Required", "/password": "Required", "/name": "Required"}


def test_a_list_that_is_too_long_is_not_looked_through() -> None:
    assert found({"plates": [{}] * 5, "owner": str(UUID(int=1))}, Bar) == {"/plates": "4 or fewer entries"}


def test_no_answer_lists_more_faults_than_anybody_reads() -> None:
    assert len(every_error({f"field{number}": 1 for number in range(1000)}, NewUser)) == MOST_ERRORS


def test_the_tag_decides_which_member_of_a_union_is_meant() -> None:
    union = NewDirect | NewGroup
    assert found({"kind": "group", "member_ids": ["x", "y"]}, union) == {
        "/member_ids/0": "Expected a UUID",
        "/member_ids/1": "Expected a UUID",
        "/name": "Required",
    }
    assert found({"kind": "direct", "member_ids": [], "name": "x"}, union) == {
        "/member_ids": "1 or more entries",
        "/name": "Unknown field",
    }
    assert list(found({"kind": "circle"}, union)) == ["/kind"]


def test_a_pattern_that_does_not_fit_is_told_in_words() -> None:
    assert found({"handle": "a b c", "name": " ", "locale": "english"}, ProfileChange) == {
        "/handle": "Expected letters, digits, dots, dashes and underscores, a letter or digit first",
        "/name": "Expected one line that is not blank, without control characters",
        "/locale": "At most 6 characters",
    }


@pytest.mark.parametrize("field", ["name", "handle", "time_zone", "locale"])
def test_a_line_break_at_the_end_is_not_overlooked(field: str) -> None:
    good = {"name": "Cleo", "handle": "cleo", "time_zone": "Europe/Berlin", "locale": "en-GB"}[field]
    assert every_error({field: good}, ProfileChange) == []
    if field != "time_zone":  # a list of names, which a rule looks through
        assert list(found({field: f"{good}\n"}, ProfileChange)) == [f"/{field}"]


@pytest.mark.parametrize("text", ["a\x00b", "\x00", " \n\t ", ""])
def test_a_message_says_something_and_nothing_postgresql_cannot_store(text: str) -> None:
    assert list(found({"client_id": str(UUID(int=1)), "text": text}, NewMessage)) == ["/text"]


def test_the_keys_of_an_object_are_checked_like_its_values() -> None:
    topic = f"conversation:{UUID(int=1)}"
    assert list(found({"cursors": {"topic": 1, topic: -1}}, Sync)) == ["/cursors/topic", f"/cursors/{topic}"]


@given(st.text())
def test_a_json_pointer_leads_to_any_name(name: str) -> None:
    last = pointer("/fields", name).removeprefix("/fields/")
    assert "/" not in last
    assert last.replace("~1", "/").replace("~0", "~") == name


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
trees = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "plates": trees | st.lists(st.fixed_dictionaries({}, optional={"kilos": trees, "colour": trees})),
        "owner": trees | st.uuids().map(str),
        "labels": trees | st.dictionaries(st.text(), trees),
        "spare": trees | st.fixed_dictionaries({}, optional={"kilos": st.integers(), "x": trees}),
        "note": trees,
        "extra": trees,
    },
)


@given(trees | near_misses)
def test_faults_are_found_exactly_when_msgspec_refuses(value: Any) -> None:
    try:
        msgspec.convert(value, Bar)
        is_good = True
    except msgspec.ValidationError:
        is_good = False
    assert (every_error(value, Bar) == []) is is_good


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b"{",
            b'{"a":}',
            b"{'a':1}",
            b"nul",
            b'{"a":1}{',
            b"\xff",
            b'"\xed\xa0\x80"',
            b'"\\ud800"',
            b'"\\udc00"',
        ),
        *(b"NaN", b"1e999", b"9" * 5000, b"[" * 100_000, b'{"a":' * 100_000, b"\xef\xbb\xbf{}", b'{"a":"\x00"}'),
    ],
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(DomainError) as refused:
        parse_json(raw)
    assert refused.value.case is MALFORMED


def test_a_refusal_carries_every_fault() -> None:
    with pytest.raises(DomainError) as refused:
        convert({"email": 1}, NewUser)
    assert refused.value.case is INVALID
    assert [error.pointer for error in refused.value.errors] == ["/email", "/password", "/name"]


def test_queries_and_paths_are_read_from_text() -> None:
    assert convert({"kilos": "20"}, Plate, strict=False) == Plate(20)
    with pytest.raises(DomainError):
        convert({"kilos": "20"}, Plate)
