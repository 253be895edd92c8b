"""The gateway's end of the spool: frames go into preallocated segments with one `pwrite` each, so a kill -9 loses
nothing.

One directory a gateway worker, locked for the worker's life: the shipper knows by the lock that a worker is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from usage import frames, wake

SEGMENT_BYTES = 8 << 20
# What calls on their way may still need to write once the disk is full; new calls are refused before it is touched.
RESERVE_BYTES = 1 << 20
# One transaction for the calls of a quarter second: woken for each, the shipper would keep a core busy at a few
# hundred calls a second. A page shows a call within two seconds all the same.
WAKE_AFTER_S = 0.25


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
        self._lock = _locked(self.directory / "lock")
        self._number, self._offset = 0, 0
        self._file = self._preallocate(0)
        self._spare: int | None = None
        self._preparing: Future[int] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._wake_pipe = wake.open_pipe(root)
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
        if self._syncing is not None and not self._syncing.done():
            await asyncio.shield(self._syncing)
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().run_in_executor(self._thread, _sync, self._file)
        await asyncio.shield(self._syncing)

    def close(self) -> None:
        """Releases the lock: the shipper may now take the directory away."""
        self._thread.shutdown(wait=True)
        self._wake_shipper()
        for descriptor in (self._file, self._spare, self._wake_pipe, self._lock):
            if descriptor is not None:
                os.close(descriptor)

    def _turn_over(self) -> None:
        spare = self._spare if self._spare is not None else self._spare_at_once()
        self._thread.submit(self._let_go, self._file)
        self._file, self._spare = spare, None
        self._number, self._offset = self._number + 1, 0
        self._prepare_spare()

    def _spare_at_once(self) -> int:
        """The helper thread is late, or the disk is full: wait for it, here, rather than lose a record. Raises
        SpoolFull."""
        preparing, self._preparing = self._preparing, None
        try:
            return self._preallocate(self._number + 1) if preparing is None else preparing.result()
        except OSError as error:
            raise SpoolFull(str(error)) from error

    def _let_go(self, full: int) -> None:
        """In the helper thread, which does one thing after the other: synced before any later sync says so."""
        if self._waits_for_disk:
            _sync(full)
        os.close(full)

    def _prepare_spare(self) -> None:
        loop = asyncio.get_running_loop()
        self._preparing = self._thread.submit(self._preallocate, self._number + 1)
        self._preparing.add_done_callback(lambda done: loop.call_soon_threadsafe(self._spare_is_ready, done))

    def _spare_is_ready(self, preparing: Future[int]) -> None:
        # Another one by now: the turn-over could not wait and has taken it.
        if preparing is not self._preparing:
            return
        self._preparing = None
        if preparing.exception() is None:
            self._spare = preparing.result()

    def _preallocate(self, number: int) -> int:
        descriptor = os.open(self.directory / f"{number:08}.seg", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self._segment_bytes)
            else:
                for start in range(0, self._segment_bytes, 1 << 16):
                    os.pwrite(descriptor, bytes(1 << 16), start)
            if self._waits_for_disk:
                _sync_with_name(descriptor, self.directory)
        except OSError:
            os.close(descriptor)
            (self.directory / f"{number:08}.seg").unlink(missing_ok=True)
            raise
        return descriptor

    def _wake_shipper(self) -> None:
        self._wake_is_due = False
        # When the pipe is full, it is full of wake-ups.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_pipe, b"\0")


def _locked(path: Path) -> int:
    """Locked before it has its name: a lock that the shipper could find free would mean a dead worker."""
    unnamed = path.with_suffix(".new")
    descriptor = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unnamed.rename(path)
    return descriptor


_sync = os.fdatasync if hasattr(os, "fdatasync") else os.fsync


def _sync_with_name(descriptor: int, directory: Path) -> None:
    """A file whose name was never synced may be gone after a power cut, with all that was synced into it."""
    os.fsync(descriptor)
    parent = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
