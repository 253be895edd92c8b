"""Spool -> ledger: a process of its own, because rows and buckets cost more than the call and must not slow it.

For each gateway worker's directory: read the frames after the cursor, record the finals in one transaction, then
move the
cursor, then remove segments that hold nothing unfinished. A replay is harmless: the ledger adds only what is new. When
the worker is dead (its lock is free), calls it had begun and not finished become `interrupted`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from struct import Struct as Packing

from django.db import DataError, Error, IntegrityError, close_old_connections

from usage import catalog, frames, ledger, wake

logger = logging.getLogger(__name__)

BATCH = 2_000
# Must hold the largest frame whole.
WINDOW_BYTES = 2 * frames.MOST_FRAME_BYTES
IDLE_S = 0.5
RETRY_S = 1.0
PRICES_FRESH_S = 5.0
CURSOR = Packing("<QQ")
# What a row of its own can be guilty of; everything else is the database's fault and passes.
POISON = (DataError, IntegrityError, ArithmeticError, LookupError, TypeError, ValueError)


class Shipper:
    """Ships everything under `root`. `stop()` may be called from a signal handler."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        self._workers: dict[str, WorkerSpool] = {}
        self._stopping = False
        self._prices: tuple[float, catalog.PriceBook] | None = None

    def run(self) -> None:
        """Until stopped: ship, then sleep till a gateway wakes us."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        pipe = wake.open_pipe(self._root)
        while not self._stopping:
            try:
                shipped = self.ship_once()
            except Error as error:
                # The database is away: nothing is lost, the spool holds it.
                logger.error("The ledger cannot be written, the spool keeps it: %s", error)
                close_old_connections()
                time.sleep(RETRY_S)
                continue
            if shipped == 0:
                select.select([pipe], [], [], IDLE_S)
                _drain(pipe)

    def stop(self) -> None:
        self._stopping = True

    def ship_once(self) -> int:
        """One round over all workers; how many frames were consumed. Raises django.db.Error when the database is
        away."""
        shipped = 0
        for directory in sorted(path for path in self._root.iterdir() if path.is_dir()):
            worker = self._workers.setdefault(directory.name, WorkerSpool(directory))
            shipped += self._ship_worker(worker)
        return shipped

    def _ship_worker(self, worker: WorkerSpool) -> int:
        # Asked before reading: what a dead worker left is then all there, and a living one's lock is still held.
        is_dead = worker.is_dead()
        consumed = 0
        try:
            while batch := worker.next_frames(BATCH):
                self._record([frame for frame in batch if isinstance(frame, frames.Final)])
                worker.commit()
                consumed += len(batch)
            if is_dead:
                self._record([frames.interrupted(intent) for intent in worker.open_intents.values()])
        except Error:
            # What was read is not recorded: the next look begins at the cursor again.
            del self._workers[worker.directory.name]
            raise
        if is_dead:
            worker.remove()
            del self._workers[worker.directory.name]
        return consumed

    def _record(self, entries: list[ledger.Entry]) -> None:
        if not entries:
            return
        prices = self._fresh_prices()
        try:
            ledger.record(entries, prices)
        except POISON:
            self._record_one_by_one(entries, prices)

    def _record_one_by_one(self, entries: list[ledger.Entry], prices: catalog.PriceBook) -> None:
        """A poison row must not block or drop the rest of its batch."""
        for entry in entries:
            try:
                ledger.record([entry], prices)
            except POISON as error:
                self._bury(entry, error)

    def _bury(self, entry: ledger.Entry, error: Exception) -> None:
        logger.critical("req_%s cannot be recorded and went to the dead letters: %s", entry.id.hex(), error)
        with (self._root / "dead-letters").open("ab") as file:
            file.write(frames.framed(frames.encode(entry)))
            file.flush()
            os.fsync(file.fileno())

    def _fresh_prices(self) -> catalog.PriceBook:
        now = self._clock()
        if self._prices is None or now - self._prices[0] > PRICES_FRESH_S:
            self._prices = (now, catalog.price_versions())
        return self._prices[1]


@dataclass
class WorkerSpool:
    """One gateway worker's directory, as far as it has been read."""

    directory: Path
    open_intents: dict[bytes, frames.Intent] = field(default_factory=dict)
    # Segment number and offset: up to where frames were read, and up to where they are recorded.
    _read: tuple[int, int] = (0, 0)
    _recorded: tuple[int, int] = (0, 0)
    _opened_in: dict[int, set[bytes]] = field(default_factory=dict)
    _has_rescanned: bool = False

    def is_dead(self) -> bool:
        """True when the worker no longer holds its lock. A directory without a lock file is still being made."""
        try:
            descriptor = os.open(self.directory / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def next_frames(self, most: int) -> list[frames.Intent | frames.Final]:
        """The next frames after those already read, at most `most`; intents are remembered until their final comes."""
        if not self._has_rescanned:
            self._rescan()
        batch: list[frames.Intent | frames.Final] = []
        numbers = self._segments_from(self._read[0])
        for number, following in zip_longest(numbers, numbers[1:]):
            # Asked before reading: a worker that had gone on to the next segment adds nothing to this one any more.
            is_full = following is not None and self._is_begun(following)
            offset = self._read[1] if number == self._read[0] else 0
            for frame, end in self._frames(number, offset):
                self._note(number, frame)
                batch.append(frame)
                self._read = (number, end)
                if len(batch) >= most:
                    return batch
            if not is_full:
                break
        return batch

    def commit(self) -> None:
        """What was read is recorded: keep the cursor, then let go of segments nobody needs."""
        self._recorded = self._read
        descriptor = os.open(self.directory / "cursor", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.pwrite(descriptor, CURSOR.pack(*self._recorded), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for number in self._segments_from(0):
            if number < self._recorded[0] and not self._opened_in.get(number):
                self._path(number).unlink(missing_ok=True)
                self._opened_in.pop(number, None)

    def remove(self) -> None:
        shutil.rmtree(self.directory)

    def _rescan(self) -> None:
        """After a restart: frames before the cursor are recorded, but their intents may still be open."""
        self._has_rescanned = True
        try:
            kept = (self.directory / "cursor").read_bytes()
        except FileNotFoundError:
            return
        if len(kept) != CURSOR.size:
            # Killed between making the file and writing it: everything is read again, and nothing is recorded twice.
            return
        self._recorded = CURSOR.unpack(kept)
        for number in self._segments_from(0):
            if number > self._recorded[0]:
                break
            for frame, end in self._frames(number, 0):
                if number == self._recorded[0] and end > self._recorded[1]:
                    break
                self._note(number, frame)
        self._read = self._recorded

    def _note(self, number: int, frame: frames.Intent | frames.Final) -> None:
        if isinstance(frame, frames.Intent):
            self.open_intents[frame.id] = frame
            self._opened_in.setdefault(number, set()).add(frame.id)
        elif self.open_intents.pop(frame.id, None) is not None:
            for opened in self._opened_in.values():
                opened.discard(frame.id)

    def _frames(self, number: int, offset: int) -> Iterator[tuple[frames.Intent | frames.Final, int]]:
        """The frames from `offset` on, read window by window: a segment is mostly empty or mostly read already."""
        with self._path(number).open("rb") as file:
            # Mostly there is nothing new: eight bytes tell.
            while any(os.pread(file.fileno(), frames.HEADER.size, offset)):
                window = os.pread(file.fileno(), WINDOW_BYTES, offset)
                end = 0
                try:
                    for frame, end in frames.read(window, 0):
                        yield frame, offset + end
                except frames.Damage as damage:
                    if damage.resume_at is None:
                        # A frame the worker is writing this moment reads so too: it will be whole at the next look.
                        if self.is_dead():
                            logger.error("%s/%s: %s: never finished", self.directory.name, number, damage)
                        return
                    # Its intent stays open, so the call becomes `interrupted` when the worker ends.
                    logger.critical("%s/%s: %s: passed over", self.directory.name, number, damage)
                    end = damage.resume_at
                if end == 0:
                    return
                offset += end

    def _is_begun(self, number: int) -> bool:
        with self._path(number).open("rb") as file:
            return any(file.read(frames.HEADER.size))

    def _segments_from(self, first: int) -> list[int]:
        numbers = sorted(int(path.stem) for path in self.directory.glob("*.seg"))
        return [number for number in numbers if number >= first]

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:08}.seg"


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 4096)
