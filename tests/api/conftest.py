"""What the server says in its log while a test asks it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.core import logs


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """Return what the server's own log prints."""
    root, out = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    logs.configure("info", "json")
    (ours,) = root.handlers
    assert isinstance(ours, logging.StreamHandler)
    ours.setStream(out)
    yield out
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
