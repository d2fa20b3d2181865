"""Says loudly at the end which tests did not run and what this machine lacks."""

import shutil
from collections import Counter

import pytest

CHROMIUM = "chromium"
NEEDS = {"browser": (CHROMIUM,), "node": ("node", "npm")}
"""The programs that the tests with a mark need."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests whose programs are not there."""
    reasons = {mark: reason for mark, programs in NEEDS.items() if (reason := missing(programs))}
    for item in items:
        for mark, reason in reasons.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def missing(programs: tuple[str, ...]) -> str:
    """Say what is not there and how Debian brings it; nothing when all is there."""
    absent = [program for program in programs if not shutil.which(program)]
    packages = " ".join({"node": "nodejs"}.get(program, program) for program in absent)
    return f"{' and '.join(absent)} not on PATH (Debian: apt-get install {packages})" if absent else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the skipped tests by reason, in a section of their own."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("LEFT OUT ON THIS MACHINE", sep="!", red=True, bold=True)
        for reason, number in reasons.items():
            terminalreporter.line(f"{number} test{'s' if number > 1 else ''}: {reason}")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser; a test that asks carries the mark `browser`."""
    return shutil.which(CHROMIUM) or pytest.skip(missing((CHROMIUM,)))
