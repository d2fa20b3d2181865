"""The bus of an instance that has no others."""

from __future__ import annotations


class AloneBus:
    """The `Bus` port, without Redis."""

    has_others = False

    def publish(self, message: bytes) -> None:
        """Nobody else is there."""

    def announce(self, channel: str, message: bytes) -> None:
        """Nobody else listens."""

    async def is_alive(self) -> bool:
        """Nothing can break."""
        return True
