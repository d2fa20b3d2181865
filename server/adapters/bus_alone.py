"""The bus of an instance that has no others."""

from __future__ import annotations


class AloneBus:
    """The `Bus` port, without Redis."""

    has_others = False

    def publish(self, topic: str, message: bytes) -> None:
        """Nobody else is there."""

    def hear(self, topic: str) -> None:
        """Nobody else speaks."""

    def forget(self, topic: str) -> None:
        """Nobody else speaks."""

    @property
    def is_alive(self) -> bool:
        return True

    async def settled(self) -> None:
        """Nothing is under way."""

    def announce(self, channel: str, message: bytes) -> None:
        """No other program listens."""
