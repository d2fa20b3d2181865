"""Says loudly at the end which tests did not run and what this machine lacks."""

import shutil
from collections import Counter

import pytest

CHROMIUM = "chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests in a browser where there is none."""
    if shutil.which(CHROMIUM):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="chromium is not on PATH (Debian: apt-get install chromium)"))


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
    return shutil.which(CHROMIUM) or pytest.skip("chromium is not on PATH (Debian: apt-get install chromium)")
