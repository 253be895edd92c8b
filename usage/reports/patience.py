"""Queries that may not take longer than somebody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

# Of SQLite's virtual machine, between two looks at the clock: ten rows or so, which a cold disk reads in 20 ms.
STEPS_A_LOOK = 200
QUERY_CANCELED = "57014"


class TookTooLongError(Exception):
    """Nothing is known of what was asked."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The database breaks off a query inside that takes longer. Raises TookTooLongError."""
    try:
        with _postgresql(seconds) if connection.vendor == "postgresql" else _sqlite(seconds):
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == QUERY_CANCELED or str(error) == "interrupted":
            raise TookTooLongError from error
        raise


@contextmanager
def _postgresql(seconds: float) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        # 0 would mean for ever.
        cursor.execute(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        yield
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


@contextmanager
def _sqlite(seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    database, until = connection.connection, time.monotonic() + seconds
    database.set_progress_handler(lambda: time.monotonic() > until, STEPS_A_LOOK)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)
