"""The spool and its frames: what was written is there after a kill, whatever the moment."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage import frames
from usage.frames import Damage, Final, Intent, Tokens
from usage.proxy.spool import RESERVE_BYTES, Spool, SpoolFull

SMALL = 4096


def intent(number: int) -> Intent:
    return Intent(
        number.to_bytes(16), 7, 1, 2, "chat.completions", "gpt-4", "gpt-4", "gpt-4", "OpenAI", "openai", False, 9
    )


def final(number: int, **fields: Any) -> Final:
    return Final(number.to_bytes(16), 7, 1, 2, "chat.completions", "gpt-4", "gpt-4", 200, "ok", **fields)


def on_loop(act: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(act)


def written(directory: Path) -> list[Intent | Final]:
    """All frames of all segments, in order."""
    found = []
    for path in sorted(directory.glob("*.seg")):
        found += [frame for frame, _ in frames.read(path.read_bytes(), 0)]
    return found


# Frames ---------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    text=st.text(max_size=50),
    tokens=st.builds(Tokens, *[st.none() | st.integers(0, 2**62)] * 7),
    tags=st.dictionaries(st.text(max_size=9), st.text(max_size=9)),
)
def test_a_frame_reads_back_as_it_was_written(text: str, tokens: Tokens, tags: dict[str, str]) -> None:
    wrote = final(7, end_user=text, tokens=tokens, metadata=tags, refusal={"limit": 60}, finish_reason="stop")
    ((back, _),) = frames.read(frames.framed(frames.encode(wrote)) + bytes(20), 0)
    assert back == wrote


def test_frames_torn_at_any_byte_lose_only_the_torn_one() -> None:
    first, second = (frames.framed(frames.encode(frame)) for frame in (intent(1), final(1)))
    for kept in range(len(second)):
        segment = first + second[:kept] + bytes(len(second) - kept + 20)
        found = []
        try:
            for frame, _ in frames.read(segment, 0):
                found.append(frame)
        except Damage:
            pass
        assert found[:1] == [intent(1)]
        # A tail of zeros can be the frame's own end: then nothing is torn.
        assert found[1:] in ([], [final(1)])
        assert (found[1:] == [final(1)]) == (segment.startswith(first + second))


def test_a_flipped_bit_is_noticed_wherever_it_is() -> None:
    whole = frames.framed(frames.encode(final(1)))
    for at in range(frames.HEADER.size, len(whole)):
        broken = bytearray(whole + bytes(20))
        broken[at] ^= 4
        with pytest.raises(Damage):
            list(frames.read(bytes(broken), 0))


# The gateway's end ----------------------------------------------------------------------------------------------------


def test_frames_go_on_through_many_small_segments(tmp_path: Path) -> None:
    """So small that a turn-over does not find the next segment ready: nothing may be written over."""

    async def act() -> list[Intent | Final]:
        spool = Spool(tmp_path, segment_bytes=SMALL)
        wrote: list[Intent | Final] = []
        for number in range(300):
            wrote += [intent(number), final(number)]
            spool.write(wrote[-2])
            spool.write(wrote[-1])
            if number % 7 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        for number in range(300, 400):
            wrote.append(final(number))
            spool.write(wrote[-1])
        assert written(spool.directory) == wrote
        spool.close()
        return wrote

    on_loop(act())


def test_power_durability_waits_for_the_disk_and_shares_the_wait(tmp_path: Path) -> None:
    async def act() -> None:
        spool = Spool(tmp_path, durability="power", segment_bytes=SMALL)

        async def one(number: int) -> None:
            spool.write(final(number))
            await spool.settled()

        await asyncio.gather(*(one(number) for number in range(200)))
        assert len(written(spool.directory)) == 200
        spool.close()

    on_loop(act())


def test_the_lock_tells_a_living_worker_from_a_dead_one(tmp_path: Path) -> None:
    async def act() -> None:
        spool = Spool(tmp_path, segment_bytes=SMALL)
        with (spool.directory / "lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        spool.close()
        with (spool.directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    on_loop(act())


@contextmanager
def files_no_larger_than(most_bytes: int) -> Iterator[None]:
    """As a full disk answers: with an error to whoever asks for more. The limit and the signal are put back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_refuses_new_calls_and_still_records_those_on_their_way(tmp_path: Path) -> None:
    segment_bytes = RESERVE_BYTES + 2_000

    async def act() -> None:
        spool = Spool(tmp_path, segment_bytes=segment_bytes)
        await _until(lambda: spool.has_room and spool._spare is not None)
        with files_no_larger_than(segment_bytes - 1):
            begun = 0
            # The spare segment was there before the disk was full: it is used up first.
            while spool.has_room:
                begun += 1
                spool.write(intent(begun))
                if begun > 1_000:
                    spool.write(final(begun - 1_000))
                if begun % 100 == 0:
                    await asyncio.sleep(0)
            for number in range(begun - 999, begun + 1):
                spool.write(final(number))
            assert len(written(spool.directory)) == 2 * begun
            assert not spool.has_room
        await _until(lambda: spool.has_room)
        spool.close()

    on_loop(act())


def test_a_record_that_finds_no_room_at_all_is_an_error_not_a_silence(tmp_path: Path) -> None:
    async def act() -> None:
        spool = Spool(tmp_path, segment_bytes=SMALL)
        await _until(lambda: spool._spare is not None)
        fill = [final(number) for number in range(200)]
        with files_no_larger_than(SMALL - 1), pytest.raises(SpoolFull):
            list(map(spool.write, fill))
        spool.write(final(200))
        assert written(spool.directory)[-1] == final(200)
        spool.close()

    on_loop(act())


async def _until(is_so: Any, patience_s: float = 5) -> None:
    for _ in range(int(patience_s / 0.005)):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def test_the_directory_is_nobodys_but_ours(tmp_path: Path) -> None:
    async def act() -> None:
        spool = Spool(tmp_path, segment_bytes=SMALL)
        assert spool.directory.stat().st_mode & 0o077 == 0
        assert all(os.stat(path).st_mode & 0o077 == 0 for path in spool.directory.iterdir())
        spool.close()

    on_loop(act())
