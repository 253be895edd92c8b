"""From the spool to the ledger: nothing lost, nothing twice, whoever dies and whenever."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from accounts.models import ApiKey
from tests import rows
from usage import frames, shipper
from usage.frames import Final, Intent
from usage.models import DayKeyBucket, UsageEvent
from usage.shipper import CURSOR, Shipper

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL = 4096


class Worker:
    """A gateway worker as the shipper sees it: a locked directory of segments that fill up."""

    def __init__(self, root: Path, name: str = "1-1") -> None:
        self.directory = root / name
        self.directory.mkdir(parents=True)
        self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.number, self.offset = 0, 0
        self._begin(0)

    def write(self, *written: Intent | Final) -> None:
        for frame in written:
            self.write_bytes(frames.framed(frames.encode(frame)))

    def write_bytes(self, data: bytes) -> None:
        if self.offset + len(data) > SMALL:
            self.turn_over()
        with self.segment.open("r+b") as file:
            os.pwrite(file.fileno(), data, self.offset)
        self.offset += len(data)

    def turn_over(self) -> None:
        self.number, self.offset = self.number + 1, 0
        self._begin(self.number)

    @property
    def segment(self) -> Path:
        return self.directory / f"{self.number:08}.seg"

    def die(self) -> None:
        os.close(self._lock)
        self._lock = -1

    def _begin(self, number: int) -> None:
        (self.directory / f"{number:08}.seg").write_bytes(bytes(SMALL))


@pytest.fixture
def key() -> ApiKey:
    return rows.key(rows.team())[0]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    if made._lock >= 0:
        made.die()


def calls(key: ApiKey, count: int) -> list[tuple[Intent, Final]]:
    made = []
    for number in range(count):
        final = rows.entry(key, NOW + timedelta(milliseconds=number))
        made.append((intent_of(final), final))
    return made


def intent_of(final: Final) -> Intent:
    return Intent(
        final.id,
        final.started_us,
        final.team_id,
        final.key_id,
        final.endpoint,
        "gpt-4",
        "gpt-4",
        "gpt-4",
        "OpenAI",
        "openai",
        True,
        9,
    )


def ledger_holds(count: int) -> None:
    """As many events, and as many in the buckets."""
    assert UsageEvent.objects.count() == count
    assert sum(DayKeyBucket.objects.values_list("ok_calls", flat=True)) == count


def test_many_calls_over_many_segments_are_recorded_once_and_their_segments_go(
    tmp_path: Path, worker: Worker, key: ApiKey
) -> None:
    ships = Shipper(tmp_path)
    for begun, ended in calls(key, 200):
        worker.write(begun, ended)
        if worker.number % 3 == 0:
            ships.ship_once()
    ships.ship_once()
    ledger_holds(200)
    assert worker.number > 5
    assert [path.name for path in worker.directory.glob("*.seg")] == [worker.segment.name]
    assert ships.ship_once() == 0


def test_a_shipper_that_is_started_again_and_again_records_each_call_once(
    tmp_path: Path, worker: Worker, key: ApiKey
) -> None:
    for begun, ended in calls(key, 60):
        worker.write(begun, ended)
        Shipper(tmp_path).ship_once()
    ledger_holds(60)


@pytest.mark.parametrize("cursor", [None, b"", b"\0" * 7])
def test_a_lost_or_torn_cursor_records_nothing_twice(
    tmp_path: Path, worker: Worker, key: ApiKey, cursor: bytes | None
) -> None:
    for begun, ended in calls(key, 5):
        worker.write(begun, ended)
    Shipper(tmp_path).ship_once()
    (worker.directory / "cursor").unlink()
    if cursor is not None:
        (worker.directory / "cursor").write_bytes(cursor)
    Shipper(tmp_path).ship_once()
    ledger_holds(5)


def test_a_frame_that_is_being_written_is_read_at_the_next_look(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    ships = Shipper(tmp_path)
    (first, second) = (frames.framed(frames.encode(ended)) for _, ended in calls(key, 2))
    worker.write_bytes(first)
    for kept in range(1, len(second), 17):
        with worker.segment.open("r+b") as file:
            os.pwrite(file.fileno(), second[:kept], worker.offset)
        ships.ship_once()
        ledger_holds(1)
    worker.write_bytes(second)
    ships.ship_once()
    ledger_holds(2)


def test_a_frame_written_just_before_the_turn_over_is_not_passed_by(
    tmp_path: Path, worker: Worker, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker writes on while the shipper reads: one more into this segment, then the next segment's first."""
    ships = Shipper(tmp_path)
    (_, first), (_, last), (_, next_one) = calls(key, 3)
    worker.write(first)
    worker._begin(1)
    read_frames = shipper.WorkerSpool._frames

    def and_the_worker_goes_on(
        spool: shipper.WorkerSpool, number: int, offset: int
    ) -> Iterator[tuple[Intent | Final, int]]:
        yield from read_frames(spool, number, offset)
        if worker.number == 0:
            worker.write(last)
            worker.turn_over()
            worker.write(next_one)

    monkeypatch.setattr(shipper.WorkerSpool, "_frames", and_the_worker_goes_on)
    ships.ship_once()
    ships.ship_once()
    ledger_holds(3)


def test_the_calls_of_a_dead_worker_are_interrupted_and_those_of_a_living_one_are_not(
    tmp_path: Path, worker: Worker, key: ApiKey
) -> None:
    ships = Shipper(tmp_path)
    (begun, ended), (left_open, _) = calls(key, 2)
    worker.write(begun, left_open, ended)
    ships.ship_once()
    ledger_holds(1)
    worker.die()
    Shipper(tmp_path).ship_once()
    interrupted = UsageEvent.objects.get(outcome="interrupted")
    assert interrupted.id.bytes == left_open.id
    assert (interrupted.status, interrupted.origin, interrupted.input_tokens, interrupted.output_tokens) == (
        None,
        "partial",
        9,
        None,
    )
    assert not worker.directory.exists()
    ships.ship_once()
    assert UsageEvent.objects.count() == 2


def test_an_intent_outlives_its_segment_and_the_shipper(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    ((long_one, its_end), *others) = calls(key, 100)
    worker.write(long_one)
    for begun, ended in others:
        worker.write(begun, ended)
    Shipper(tmp_path).ship_once()
    assert (worker.directory / "00000000.seg").exists()
    ships = Shipper(tmp_path)
    ships.ship_once()
    worker.write(its_end)
    ships.ship_once()
    ledger_holds(100)
    assert not (worker.directory / "00000000.seg").exists()


def test_a_torn_end_of_a_dead_worker_costs_that_frame_only(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    (begun, ended), (other, torn) = calls(key, 2)
    worker.write(begun, ended, other)
    worker.write_bytes(frames.framed(frames.encode(torn))[:-3])
    worker.die()
    Shipper(tmp_path).ship_once()
    assert set(UsageEvent.objects.values_list("outcome", flat=True)) == {"ok", "interrupted"}


def test_a_damaged_frame_does_not_hold_up_those_after_it(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    (_, first), (_, damaged), (_, last) = calls(key, 3)
    worker.write(first)
    data = bytearray(frames.framed(frames.encode(damaged)))
    data[20] ^= 4
    worker.write_bytes(bytes(data))
    worker.write(last)
    Shipper(tmp_path).ship_once()
    ledger_holds(2)


def test_a_poison_row_goes_to_the_dead_letters_and_the_rest_is_recorded(
    tmp_path: Path, worker: Worker, key: ApiKey
) -> None:
    good = [ended for _, ended in calls(key, 20)]
    poison = [
        rows.entry(key, NOW, started_us=2**62),
        rows.entry(key, NOW, tokens=frames.Tokens(2**63)),
        rows.entry(key, NOW, outcome="nonsense"),
    ]
    if connection.vendor == "postgresql":
        poison += [
            rows.entry(key, NOW, end_user="\0"),
            rows.entry(key, NOW, error_code="x" * 101),
            rows.entry(key, NOW, metadata={"a": "\0"}),
        ]
    worker.write(*good[:10], *poison, *good[10:])
    ships = Shipper(tmp_path)
    ships.ship_once()
    ledger_holds(20)
    buried = [frame for frame, _ in frames.read((tmp_path / "dead-letters").read_bytes(), 0)]
    assert buried == poison
    assert ships.ship_once() == 0


def test_a_worker_that_is_still_making_its_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "2-2").mkdir()
    assert Shipper(tmp_path).ship_once() == 0
    assert (tmp_path / "2-2").exists()


def test_the_cursor_says_how_far_everything_is_recorded(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    for begun, ended in calls(key, 3):
        worker.write(begun, ended)
    Shipper(tmp_path).ship_once()
    assert CURSOR.unpack((worker.directory / "cursor").read_bytes()) == (0, worker.offset)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_away_gets_everything_when_it_is_back(tmp_path: Path, worker: Worker, key: ApiKey) -> None:
    """Away: its table is gone, which is an operational or a programming error, and no fault of a row's."""
    ships = Shipper(tmp_path)
    for begun, ended in calls(key, 30):
        worker.write(begun, ended)
    table = UsageEvent._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
    try:
        for _ in range(3):
            with pytest.raises(shipper.Error):
                ships.ship_once()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")
    assert not (tmp_path / "dead-letters").exists()
    ships.ship_once()
    ledger_holds(30)
