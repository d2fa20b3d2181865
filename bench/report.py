"""The report: ratios with their absolute figures, on the screen, in docs/performance.md and in build/bench/results.json."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import msgspec

from bench.machine import BUILD, ROOT
from bench.runs import Outcome
from bench.servers import OURS, PEER_NODE, PEER_STOCK
from bench.workloads import Figure

PAGE = ROOT / "docs" / "performance.md"
HEAD = ROOT / "docs" / "performance.head.md"
RESULTS = BUILD / "results.json"
NOTE = "<!-- Written by `make bench`. -->"
BUSY = 0.9
COLUMNS = ("Figure", "FitSync", "Node", "stock", "÷ Node", "÷ stock", "Target", "")


@dataclass(frozen=True)
class Row:
    """One figure of one workload: medians, and medians of the ratios within a round."""

    figure: Figure
    values: dict[str, float | None]
    ratios: dict[str, float | None]

    @property
    def verdict(self) -> str:
        """✓ or ✗ where there is a target."""
        ours, ratio = self.values[OURS.name], self.ratios[PEER_NODE.name]
        if self.figure.most is not None:
            return "" if ours is None else _mark(ours <= self.figure.most)
        if self.figure.target is None or ratio is None:
            return ""
        return _mark(ratio >= self.figure.target if self.figure.more else ratio <= self.figure.target)

    @property
    def target(self) -> str:
        if self.figure.most is not None:
            return f"≤ {self.figure.most:g}"
        if self.figure.target is None:
            return ""
        return f"{'≥' if self.figure.more else '≤'} {self.figure.target:g}×"

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is shown."""
        values = [_shown(self.values[one.name], self.figure.digits) for one in (OURS, PEER_NODE, PEER_STOCK)]
        ratios = [_times(self.ratios[one.name]) for one in (PEER_NODE, PEER_STOCK)]
        return (self.figure.title, *values, *ratios, self.target, self.verdict)


def rows(outcome: Outcome) -> list[Row]:
    """Work out every figure of a workload."""
    return [_row(figure, outcome) for figure in outcome.workload.figures]


def _row(figure: Figure, outcome: Outcome) -> Row:
    read = [{name: figure.read(counted) for name, counted in round_.items()} for round_ in outcome.rounds]
    values: dict[str, float | None] = {}
    ratios: dict[str, float | None] = {}
    for one in (OURS, PEER_NODE, PEER_STOCK):
        found = [value for round_ in read if (value := round_.get(one.name)) is not None]
        values[one.name] = median(found) if found else None
        pairs = [(round_.get(OURS.name), round_.get(one.name)) for round_ in read]
        ratio = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
        ratios[one.name] = median(ratio) if ratio and figure.more is not None else None
    return Row(figure, values, ratios)


def text(outcome: Outcome) -> str:
    """Lay out one workload for a terminal."""
    table = [COLUMNS, *(row.cells() for row in rows(outcome))]
    widths = [max(len(line[at]) for line in table) for at in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    return "\n".join([f"\n{outcome.workload.title}", *lines, *remarks(outcome)])


def remarks(outcome: Outcome) -> list[str]:
    """Say what else one must know to read the figures: failures, and a load tool that was busy itself."""
    said = list(dict.fromkeys(f"{failure}" for failure in outcome.failures))
    counted = [one for round_ in outcome.rounds for one in round_.items()]
    said += [
        f"{name}: {int(one['errors'])} errors, the first: {one['first_error']}"
        for name, one in counted
        if one["errors"]
    ]
    said += [f"{name}: {int(one['closed'])} connections were closed" for name, one in counted if one.get("closed")]
    busy = max((one["load_cpu"] / one["run_seconds"] for _, one in counted if one.get("run_seconds")), default=0)
    if busy > BUSY:
        said.append(f"The load tool was busy {busy:.0%} of the time: it may have been the limit.")
    return said


def save(outcomes: list[Outcome], machine: dict[str, str]) -> None:
    """Write everything that was counted."""
    found = [
        {
            "workload": outcome.workload.name,
            "crowd": outcome.workload.crowd,
            "options": outcome.workload.options,
            "rounds": outcome.rounds,
            "failures": outcome.failures,
        }
        for outcome in outcomes
    ]
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": machine, "results": found})))


def page(outcomes: list[Outcome], machine: dict[str, str]) -> str:
    """Return docs/performance.md."""
    parts = [NOTE, HEAD.read_text(encoding="utf-8").rstrip(), "## The machine of these figures"]
    parts.append(_table((("", ""), *((name, said) for name, said in machine.items()))))
    parts.append("## Figures")
    for outcome in outcomes:
        parts += [f"### {outcome.workload.title}", _table((COLUMNS, *(row.cells() for row in rows(outcome))))]
        parts += ["\n".join(f"- {remark}" for remark in remarks(outcome))] if remarks(outcome) else []
    return "\n\n".join(parts) + "\n"


def _table(lines: tuple[tuple[str, ...], ...]) -> str:
    head, *rest = lines
    ruled = [head, tuple("---" if at == 0 else "--:" for at in range(len(head))), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.3g}×"
