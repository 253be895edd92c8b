"""The numbers a run ends with: each beside its target, as a table and as JSON."""

import json
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """`at_most` or `exactly` is the target; neither makes it a remark."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    exactly: float | None = None

    @property
    def is_met(self) -> bool:
        if self.exactly is not None:
            return self.value == self.exactly
        return self.at_most is None or self.value <= self.at_most

    @property
    def target(self) -> str:
        if self.exactly is not None:
            return f"= {self.exactly:,.10g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"


def median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Of (peer, gateway): each round's own ratio, so that a slow minute of the machine hits both sides."""
    return statistics.median(gateway / peer for peer, gateway in pairs)


def median_difference(pairs: Iterable[tuple[float, float]]) -> float:
    return statistics.median(gateway - peer for peer, gateway in pairs)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(figures: Iterable[Figure]) -> None:
    print(f"{'figure':<58} {'value':>12} {'unit':<9} {'target':>12}")
    for figure in figures:
        verdict = "" if not figure.target else "met" if figure.is_met else "MISSED"
        print(f"{figure.name:<58} {figure.value:>12,.2f} {figure.unit:<9} {figure.target:>12} {verdict}")


def keep(figures: Iterable[Figure], folder: Path) -> Path:
    """Results are of one machine on one day, so they are kept beside the code but not in it."""
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    now = datetime.now(UTC)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    rows = [asdict(figure) | {"is_met": figure.is_met} for figure in figures]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    path.write_text(json.dumps({"at": now.isoformat(), "machine": machine, "figures": rows}, indent=1) + "\n")
    print(f"Kept as {path}")
    return path
