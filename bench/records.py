"""What was written down: events as finance exports them, and the sums of the buckets."""

import csv
import io
import sqlite3
import time
from contextlib import closing
from typing import NamedTuple

from bench.product import Product

OUTCOMES = ("ok", "client_abort", "upstream_error", "interrupted", "refused")
SUMS = f"""
SELECT (SELECT count(*) FROM usage_usageevent),
       (SELECT coalesce(sum({" + ".join(f"{outcome}_calls" for outcome in OUTCOMES)}), 0) FROM usage_quarterbucket)
"""


class Sums(NamedTuple):
    """Every event is one call in one quarter hour's bucket; if these differ, something was added twice or never."""

    events: int
    bucket_calls: int


def sums(product: Product) -> Sums:
    """Straight from the file: an export of a benchmark's half million events would be a load of its own."""
    path = product.data_dir / "megadash.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
        return Sums(*connection.execute(SUMS).fetchone())


def settled(product: Product, at_least: int = 0, quiet_s: float = 2.0, patience_s: float = 60.0) -> Sums:
    """Once the shipper has caught up: nothing new for `quiet_s`, and `at_least` so many events if they come at all."""
    give_up_at = time.monotonic() + patience_s
    last, last_change_at = sums(product), time.monotonic()
    while (now := time.monotonic()) < give_up_at:
        time.sleep(0.2)
        if (seen := sums(product)) != last:
            last, last_change_at = seen, now
        elif now - last_change_at > quiet_s and seen.events >= at_least:
            break
    return last


def exported(product: Product, since: int, until: int) -> list[dict[str, str]]:
    """`GET /api/usage/events?format=csv`, times in unix seconds."""
    path = f"/api/usage/events?format=csv&start_time={since}&end_time={until}"
    status, body = product.get(path, product.admin_key)
    if status != 200:
        raise RuntimeError(f"The export answered {status}: {body[:500]!r}")
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
