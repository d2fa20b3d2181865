"""The files of the repository: sizes, names, words, roads."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CODE = {".py", ".sql", ".js", ".css", ".html", ".sh", ".cpp", ".h"}
GENERATED = {"sql/schema.sql"}
FORBIDDEN = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)($|_|\.)")


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in found if path.is_file()]


def code() -> list[Path]:
    return [path for path in files() if path.suffix in CODE and str(path.relative_to(ROOT)) not in GENERATED]


def test_no_file_is_longer_than_500_lines() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in code()}
    assert {str(path): count for path, count in lines.items() if count > 500} == {}


def test_no_file_is_called_after_nothing() -> None:
    assert [str(path) for path in files() if FORBIDDEN.search(path.stem)] == []


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    """What a fault run or a proxy lets pass is time of its scenario; a test that hopes is what this finds."""
    sleeping = re.compile(r"\b(asyncio|time)\.sleep\((?!0\))")
    tests = [path for path in code() if path.name.startswith("test_") and path.suffix == ".py"]
    tests = [path for path in tests if not path.is_relative_to(ROOT / "tests/faults") and path != Path(__file__)]
    assert [str(path) for path in tests if sleeping.search(path.read_text(encoding="utf-8"))] == []


def test_sql_stands_in_files() -> None:
    statement = re.compile(r"""["'](SELECT|INSERT INTO|UPDATE|DELETE FROM) """)
    machinery = {"server/core", "server/embedded", "server/schema.py"}
    found = [path.relative_to(ROOT) for path in code() if path.suffix == ".py" and path.is_relative_to(ROOT / "server")]
    speaking = [path for path in found if statement.search((ROOT / path).read_text(encoding="utf-8"))]
    assert [str(path) for path in speaking if not any(str(path).startswith(place) for place in machinery)] == []


def test_settings_are_read_in_one_file() -> None:
    asking = re.compile(r"os\.(environ|getenv)")
    found = [path for path in code() if path.is_relative_to(ROOT / "server") or path.is_relative_to(ROOT / "scheduler")]
    reading = {str(path.relative_to(ROOT)) for path in found if asking.search(path.read_text(encoding="utf-8"))}
    assert reading <= {"server/core/config.py", "server/embedded/binaries.py", "server/embedded/launcher.py"}


@pytest.mark.parametrize("heading", ["The road of one message", "The road of one request"])
def test_a_road_in_the_architecture_page_leads_over_functions_that_exist(heading: str) -> None:
    page = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    road = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. `([^`]+)` `(\w+)`", road, re.MULTILINE)
    assert len(steps) >= 5
    assert heading != "The road of one message" or len(steps) <= 7
    for place, name in steps:
        text = (ROOT / place).read_text(encoding="utf-8")
        wanted = rf"^-- name: {name}$" if place.endswith(".sql") else rf"^ *(async )?def {name}\(|^{name}\b.*="
        assert re.search(wanted, text, re.MULTILINE), f"{place} has no {name}"


def test_what_is_installed_is_at_least_what_we_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [Requirement(line) for line in project["project"]["dependencies"]]
    wanted = [one for one in asked if one.marker is None or one.marker.evaluate()]
    assert [f"{one} is {version(one.name)}" for one in wanted if not one.specifier.contains(version(one.name))] == []


def test_lock_files_pin_everything_and_name_no_host() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert all("==" in line for line in pinned)
        assert text.count("--hash=") >= len(pinned)
