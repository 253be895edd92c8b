"""The gateway's end of the spool: frames go into preallocated segments with one `pwrite` each, so a kill -9 loses nothing.

One directory a gateway worker, locked for the worker's life: the shipper knows by the lock that a worker is dead.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from usage import frames

SEGMENT_BYTES = 8 << 20
# What calls on their way may still need to write once the disk is full; new calls are refused before it is touched.
RESERVE_BYTES = 1 << 20
WAKE_AFTER_S = 0.02

T = TypeVar("T")


class SpoolFull(Exception):
    """No segment can be preallocated: a call sent on now might not be recorded."""


class Spool:
    """Append-only. All methods belong to the event loop; the disk's slow work is done by one helper thread."""

    def __init__(self, root: Path, *, durability: str = "process", segment_bytes: int = SEGMENT_BYTES) -> None:
        self._root, self._segment_bytes = root, segment_bytes
        self._waits_for_disk = durability == "power"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self.directory = root / f"{time.time_ns()}-{os.getpid()}"
        self.directory.mkdir(parents=True, mode=0o700)
        self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._number, self._offset = 0, 0
        self._file = self._preallocate(0)
        self._spare: int | None = None
        self._preparing: asyncio.Future[int] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._wake_pipe = _open_wake_pipe(root)
        self._wake_is_due = False
        self._prepare_spare()

    @property
    def has_room(self) -> bool:
        """False: refuse new calls. Tries again for a segment, so that it turns true when the disk has room."""
        if self._spare is not None:
            return True
        if self._preparing is None:
            self._prepare_spare()
        return self._segment_bytes - self._offset > RESERVE_BYTES

    def write(self, frame: frames.Intent | frames.Final) -> None:
        """Raises SpoolFull when neither this segment nor a spare has room."""
        data = frames.framed(frames.encode(frame))
        if self._offset + len(data) > self._segment_bytes:
            self._turn_over()
        os.pwrite(self._file, data, self._offset)
        self._offset += len(data)
        if not self._wake_is_due:
            self._wake_is_due = True
            asyncio.get_running_loop().call_later(WAKE_AFTER_S, self._wake_shipper)

    async def settled(self) -> None:
        """Returns when what was written survives what `durability` promises to survive."""
        if not self._waits_for_disk:
            return
        # Group commit: whoever comes while a sync runs may not be covered by it, and waits for the next one.
        if self._syncing is not None:
            await asyncio.shield(self._syncing)
        if self._syncing is None or self._syncing.done():
            self._syncing = self._in_thread(_sync, self._file)
        await asyncio.shield(self._syncing)

    def close(self) -> None:
        """Releases the lock: the shipper may now take the directory away."""
        self._thread.shutdown(wait=True)
        self._wake_shipper()
        for descriptor in (self._file, self._spare, self._wake_pipe, self._lock):
            if descriptor is not None:
                os.close(descriptor)

    def _turn_over(self) -> None:
        if self._spare is None:
            # The helper thread was late, or the disk is full: one last try, here, rather than lose a record.
            try:
                self._spare = self._preallocate(self._number + 1)
            except OSError as error:
                raise SpoolFull(str(error)) from error
        self._in_thread(self._let_go, self._file)
        self._file, self._spare = self._spare, None
        self._number, self._offset = self._number + 1, 0
        self._prepare_spare()

    def _let_go(self, full: int) -> None:
        """In the helper thread, which does one thing after the other: synced before any later sync says so."""
        if self._waits_for_disk:
            _sync(full)
        os.close(full)

    def _prepare_spare(self) -> None:
        self._preparing = self._in_thread(self._preallocate, self._number + 1)
        self._preparing.add_done_callback(self._spare_is_ready)

    def _spare_is_ready(self, preparing: asyncio.Future[int]) -> None:
        self._preparing = None
        if preparing.cancelled() or preparing.exception() is not None:
            return
        if self._spare is None:
            self._spare = preparing.result()
        else:
            os.close(preparing.result())

    def _preallocate(self, number: int) -> int:
        descriptor = os.open(self.directory / f"{number:08}.seg", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self._segment_bytes)
            else:
                for start in range(0, self._segment_bytes, 1 << 16):
                    os.pwrite(descriptor, bytes(1 << 16), start)
        except OSError:
            os.close(descriptor)
            (self.directory / f"{number:08}.seg").unlink(missing_ok=True)
            raise
        return descriptor

    def _in_thread(self, act: Callable[[int], T], argument: int) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, act, argument)

    def _wake_shipper(self) -> None:
        self._wake_is_due = False
        try:
            os.write(self._wake_pipe, b"\0")
        except BlockingIOError:
            pass  # The pipe is full of wake-ups already.


_sync = os.fdatasync if hasattr(os, "fdatasync") else os.fsync


def _open_wake_pipe(root: Path) -> int:
    path = root / "wake"
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    # Read and write, so that opening does not wait for the shipper and a dead shipper raises no SIGPIPE.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)
