"""`make bench-pages`: how long the server takes for each page with ten million calls. See docs/benchmarks.md."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import figures
from bench.product import OURS
from tests.databases import kept_postgresql_url

ROOT = Path(__file__).resolve().parent.parent
MARKER = "bench-pages.json"
DATABASES = ("sqlite", "postgresql")
EVENTS, REQUESTS = 10_000_000, 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "var-bench-pages", help="kept, and filled the first time")
    parser.add_argument("--database", choices=DATABASES, action="append", help="one of them only")
    parser.add_argument("--events", type=int, default=EVENTS, help="when it is filled")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="a page, after three that are not counted")
    parser.add_argument("--only", default="", help="pages whose name contains this")
    given = parser.parse_args()
    if not _may_use(given.data):
        print(f"{given.data} holds something else: give --data a directory of this benchmark's own.")
        return 2
    found: list[figures.Figure] = []
    for database in given.database or DATABASES:
        place = given.data / database
        with _database(database, place) as environment:
            if not _filled(place, environment, given.events):
                return 2
            found += _child(database, given, environment)
    figures.show(found)
    figures.keep(found, ROOT / "bench" / "results")
    return 0 if all(figure.is_met for figure in found) else 1


# The data -----------------------------------------------------------------------------------------------------------


def _may_use(data: Path) -> bool:
    """A new directory, or one that this benchmark made."""
    data.mkdir(parents=True, exist_ok=True)
    if (data / MARKER).exists():
        return True
    if any(data.iterdir()):
        return False
    (data / MARKER).write_text("{}")
    return True


@contextmanager
def _database(name: str, place: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that uses it."""
    (place / "data").mkdir(parents=True, exist_ok=True)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    environment = inherited | {"MEGADASH_DATA_DIR": str(place / "data"), "DJANGO_SETTINGS_MODULE": "megadash.settings"}
    if name == "sqlite":
        yield environment
        return
    with kept_postgresql_url(place / "cluster") as url:
        yield environment | {"DATABASE_URL": url}


def _filled(place: Path, environment: dict[str, str], events: int) -> bool:
    """The first time minutes, then nothing. False when it was filled for other tables."""
    kept = place / MARKER
    if kept.exists():
        if json.loads(kept.read_text())["tables"] == _tables():
            return True
        print(f"{place} was filled before the tables were changed: remove it, and it is filled again.")
        return False
    print(f"Filling {place} with {events:,} calls", flush=True)
    fill = f"import django; django.setup(); from bench import filling; filling.fill_from_command({events})"
    ended = subprocess.run([sys.executable, "-c", fill], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    made = json.loads(ended.stdout.splitlines()[-1])
    kept.write_text(json.dumps(made | {"tables": _tables()}))
    return True


def _tables() -> str:
    files = sorted(ROOT.glob("*/migrations/0*.py"))
    # Without the line that says when each was made.
    texts = [line for path in files for line in path.read_text().splitlines() if not line.startswith("#")]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


# The figures --------------------------------------------------------------------------------------------------------


def _child(database: str, given: argparse.Namespace, environment: dict[str, str]) -> list[figures.Figure]:
    now = json.loads((given.data / database / MARKER).read_text())["now"]
    visit = f"visits.visit_all({database!r}, {now!r}, {given.requests}, {given.only!r})"
    command = f"import django; django.setup(); from bench import visits; {visit}"
    ended = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return [figures.Figure(**row) for row in json.loads(ended.stdout.splitlines()[-1])]


if __name__ == "__main__":
    sys.exit(main())
