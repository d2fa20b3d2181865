"""The promises with what this run has measured, as a table at its end and in build/faults*.json.

FAULTS=full runs them at full length. The short form belongs to `make test`: fewer clients, beside other tests on the
same processors, so times may take SLACK times as long as promised and half a second more; nothing else is weaker. SEED=… repeats a run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

IS_FULL = os.environ.get("FAULTS") == "full"
SLACK, GRACE_SECONDS = (1.0, 0.0) if IS_FULL else (2.0, 0.5)
T = TypeVar("T")
BUILD = Path(__file__).parents[2] / "build"


class Figure(msgspec.Struct, frozen=True):
    """One measured figure, what it had to be, and whether it was."""

    promise: str
    what: str
    measured: str
    promised: str
    holds: bool | None
    """None where nothing is promised, or where it is known that the promise is not kept yet."""


@dataclass
class Figures:
    """Takes down the figures of one test; the test fails when one is not as promised."""

    _item: pytest.Item
    missed: list[str] = field(default_factory=list)

    def none(self, promise: str, what: str, found: list[Any], *, of: int | None = None) -> None:
        """Nothing of the kind may have happened."""
        measured = f"{len(found)}" if of is None else f"{len(found)} of {of:,}"
        self._take(promise, what, measured, "0", not found, detail=str(found[:5]))

    def at_least(self, promise: str, what: str, measured: float, least: float, unit: str = "") -> None:
        """Print a number that must be reached."""
        self._take(promise, what, _text(measured, unit), f"≥ {_text(least, unit)}", measured >= least)

    def at_most(self, promise: str, what: str, measured: float, most: float, unit: str = "") -> None:
        """Print a number that must not be exceeded."""
        self._take(promise, what, _text(measured, unit), f"≤ {_text(most, unit)}", measured <= most)

    def seconds(self, promise: str, what: str, measured: float, most: float) -> None:
        """Print a time that must not be exceeded; in the short form it has its slack."""
        promised = f"≤ {_text(most, 's')}" + (f" (×{SLACK:.0f} + {GRACE_SECONDS} s beside others)" if SLACK > 1 else "")
        self._take(promise, what, _text(measured, "s"), promised, measured <= most * SLACK + GRACE_SECONDS)

    def only_shown(self, promise: str, what: str, measured: str, promised: str = "") -> None:
        """Print what was measured; nothing fails."""
        self._take(promise, what, measured, promised, None)

    def check(self) -> None:
        """Fail when something was not as promised."""
        if self.missed:
            pytest.fail("\n".join(self.missed), pytrace=False)

    def _take(
        self, promise: str, what: str, measured: str, promised: str, holds: bool | None, detail: str = ""
    ) -> None:
        figure = Figure(promise, what, measured, promised, holds)
        self._item.user_properties.append(("figure", msgspec.to_builtins(figure)))
        if holds is False:
            self.missed.append(f"{promise}: {what}: {measured}, promised {promised} {detail}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Return what takes down the figures of this test."""
    found = Figures(request.node)
    yield found
    found.check()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return the chance of this test; the same SEED gives the same."""
    return random.Random(f"{os.environ['SEED']} {request.node.nodeid}")


def only_in_full(test: T) -> T:
    """Mark a test that has no short form: it is left to `make faults`."""
    test.only_in_full = True  # type: ignore[attr-defined]
    return test


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what has no short form to the full one."""
    left_out = [item for item in items if getattr(getattr(item, "obj", None), "only_in_full", False)]
    if left_out and not IS_FULL:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_configure() -> None:
    """Choose the seed before the workers start, so that all have the same."""
    os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all figures and write them down."""
    found = [
        msgspec.convert(value, Figure)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if not found:
        return
    found.sort(key=lambda figure: (int(figure.promise[1:]), figure.what))
    form = "full" if IS_FULL else "short"
    BUILD.mkdir(exist_ok=True)
    path = BUILD / ("faults.json" if IS_FULL else "faults-short.json")
    run = {"form": form, "seed": os.environ["SEED"], "figures": found}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run)))
    terminalreporter.section(f"PROMISES UNDER FAULTS, {form} form, SEED={os.environ['SEED']}")
    columns = [(f.promise, f.what, f.measured, f.promised, _verdict(f)) for f in found]
    widths = [max(len(row[place]) for row in columns) for place in range(4)]
    for row in columns:
        padded = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        terminalreporter.line(f"{padded}  {row[4]}", red=row[4] == "MISSED")


def _verdict(figure: Figure) -> str:
    if figure.holds is None:
        return "not kept yet" if figure.promised else ""
    return "holds" if figure.holds else "MISSED"


def _text(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    if unit == "%":
        return f"{value:.1f} %"
    return f"{value:,.0f} {unit}".strip()
