"""UUID version 7: ids that sort by the moment they were made."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

NOBODY = UUID(int=0)


def new_id() -> UUID:
    """Return a fresh UUIDv7 of the current millisecond."""
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))


def uuid7(unix_ms: int, random_bits: int) -> UUID:
    """Lay out a UUIDv7 as RFC 9562 section 5.7 does.

    `unix_ms` is the time in milliseconds (48 bits), `random_bits` fills the other 74.
    """
    high, low = random_bits >> 62 & 0xFFF, random_bits & (1 << 62) - 1
    return UUID(int=(unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
