"""The pipe by which the gateway wakes the shipper: one byte says that there are new frames."""

import contextlib
import os
from pathlib import Path


def open_pipe(spool: Path) -> int:
    """For reading and writing at once, so that opening waits for nobody and a dead peer raises no SIGPIPE."""
    path = spool / "wake"
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)
