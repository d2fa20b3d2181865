"""What texts may be made of, and that no text takes long to be refused."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core import validation
from server.core.errors import DomainError
from server.core.ids import new_id
from server.domain.chat.models import NewMessage, Text


@given(st.text(max_size=50) | st.text("\0 \n\t\x1c\u2003a", max_size=8))
def test_a_text_has_something_to_see_in_it_and_no_nul(text: str) -> None:
    try:
        is_text = msgspec.convert(text, Text) == text
    except msgspec.ValidationError:
        is_text = False
    assert is_text is (bool(text.strip()) and "\0" not in text)


@pytest.mark.parametrize("text", ["a" * 3999 + "\0", " " * 4000, " " * 3999 + "\0", "a " * 1999 + "\0"])
def test_a_text_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(DomainError):
        validation.convert({"client_id": str(new_id()), "text": text}, NewMessage)
    # A pattern that tries every way to read such a text takes twenty times as long, and everybody waits for it.
    assert time.process_time() - started < 0.01
