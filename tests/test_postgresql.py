"""All that touches the database, once more on a real PostgreSQL; and the story, with the running product on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bench.product import COVERAGE
from tests.databases import postgresql_url

ROOT = Path(__file__).resolve().parent.parent
LEDGER_AND_PAGES = [
    "tests/test_ledger.py",
    "tests/test_shipper.py",
    "tests/test_directory.py",
    "tests/test_catalog.py",
    "tests/test_prices_by_hand.py",
    "tests/test_api_usage.py",
    "tests/test_api_events.py",
    "tests/test_api_keys.py",
    "tests/test_pages_overview.py",
    "tests/test_pages_keys.py",
    "tests/test_pages_calls.py",
    "tests/test_pages_key.py",
    "tests/test_rotation.py",
    "tests/test_time_zones.py",
    "tests/test_admin_audit.py",
    "tests/test_admin_teams.py",
    "tests/test_admin_instance.py",
    "tests/test_explorer_engine.py",
    "tests/test_why.py",
    "tests/test_offers.py",
    "tests/test_catalog_prices.py",
    # What is refused before the database is asked is the same on both.
    "-k",
    "not 400 and not 401 and not beside_it and not while_programs and not a_key_at_once",
]
STORY = ["tests/test_story.py"]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgresql_url() as url:
        yield url


@pytest.mark.timeout(300)
@pytest.mark.parametrize("files", [LEDGER_AND_PAGES, STORY], ids=["ledger and pages", "story"])
def test_it_holds_on_postgresql_too(files: list[str], postgresql: str, tmp_path: Path) -> None:
    again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reuse-db", *files]
    environment = os.environ | {"DATABASE_URL": postgresql, "MEGADASH_DATA_DIR": str(tmp_path)}
    # Nearly all these lines are counted in the run on SQLite; counting them again would only take longer.
    environment.pop(COVERAGE, None)
    ended = subprocess.run(again, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
    if files == STORY:
        with psycopg.connect(postgresql) as connection:
            told = connection.execute("SELECT count(*) FROM usage_usageevent").fetchone()
        assert told is not None
        assert told[0] > 60, "the product of the story was not on this database"
