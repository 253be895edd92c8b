"""What the gateway writes to the spool and the shipper reads back. Pure: no Django, no files.

A segment is a preallocated file of zeros, filled with frames: 4 bytes of length, 4 of CRC-32, then a MessagePack
payload.
A length of zero is the end so far. A frame torn by a crash fails its CRC.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct as Packing
from typing import Any, NamedTuple

import msgspec

HEADER = Packing("<II")
# Far above any frame we write (texts and tags are cut to size); a longer length is damage.
MOST_FRAME_BYTES = 1 << 20


class Tokens(NamedTuple):
    """Counts by exclusive class: a token is in exactly one. None is unknown."""

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    audio_input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_output: int | None = None

    @property
    def prompt(self) -> int:
        return sum(count or 0 for count in self[:4])

    @property
    def completion(self) -> int:
        return sum(count or 0 for count in self[4:])


NO_TOKENS = Tokens()


class Intent(msgspec.Struct, array_like=True, tag="i", gc=False):
    """A call is about to be sent on. What would be known of it if the gateway died now."""

    id: bytes
    started_us: int
    team_id: int
    key_id: int
    endpoint: str
    requested_model: str
    served_model: str
    upstream_model: str
    provider: str
    price_book: str
    streamed: bool
    prompt_tokens: int
    # Which of the key's secrets was sent; 0 in frames of before keys had several.
    secret_id: int = 0


class Attempt(msgspec.Struct, array_like=True, gc=False):
    """One try at a provider."""

    model: str
    upstream_model: str
    provider: str
    price_book: str
    status: int | None
    error_code: str
    latency_us: int
    upstream_request_id: str = ""
    tokens: Tokens = NO_TOKENS
    origin: str = "none"


class Final(msgspec.Struct, array_like=True, tag="f", gc=False):
    """A call that has ended: everything its event will hold, but the price."""

    id: bytes
    started_us: int
    team_id: int
    key_id: int
    endpoint: str
    requested_model: str
    # The catalogue's name of the model that answered; the requested one when none did.
    served_model: str
    # None when the gateway died before the caller got one.
    status: int | None
    outcome: str
    # Prices are looked up by the provider's price book and its own name for the model.
    provider: str = ""
    price_book: str = ""
    upstream_model: str = ""
    streamed: bool = False
    origin: str = "none"
    tokens: Tokens = NO_TOKENS
    latency_us: int | None = None
    ttft_us: int | None = None
    service_tier: str = ""
    finish_reason: str = ""
    error_code: str = ""
    end_user: str = ""
    sdk_retry_count: int = 0
    client_request_id: str = ""
    upstream_request_id: str = ""
    # What the provider itself called the model, when it says.
    reported_model: str = ""
    metadata: dict[str, str] = {}
    refusal: dict[str, Any] | None = None
    attempts: list[Attempt] = []
    secret_id: int = 0


class Damage(Exception):
    """A frame whose bytes do not agree with its checksum: torn by a crash, or a bad disk.

    `resume_at` is the offset of the frame after it when that one is sound: then this one is not just unfinished.
    """

    def __init__(self, message: str, resume_at: int | None = None) -> None:
        super().__init__(message)
        self.resume_at = resume_at


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Intent | Final).decode


def framed(payload: bytes) -> bytes:
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read(segment: bytes | memoryview, offset: int) -> Iterator[tuple[Intent | Final, int]]:
    """The frames from `offset` on, each with the offset after it. Ends at the first zero length, or at one that is
    not whole. Raises Damage."""
    while offset + HEADER.size <= len(segment):
        length, checksum = HEADER.unpack_from(segment, offset)
        if length == 0:
            return
        start, end = offset + HEADER.size, offset + HEADER.size + length
        if end > len(segment) and length <= MOST_FRAME_BYTES:
            return
        if length > MOST_FRAME_BYTES or zlib.crc32(segment[start:end]) != checksum:
            raise Damage(f"bad frame at byte {offset}", end if _is_sound(segment, end) else None)
        try:
            frame = decode(segment[start:end])
        except msgspec.DecodeError as error:
            raise Damage(f"unreadable frame at byte {offset}: {error}", end) from error
        yield frame, end
        offset = end


def _is_sound(segment: bytes | memoryview, offset: int) -> bool:
    if offset + HEADER.size > len(segment):
        return False
    length, checksum = HEADER.unpack_from(segment, offset)
    payload = segment[offset + HEADER.size : offset + HEADER.size + length]
    return bool(0 < length == len(payload) and zlib.crc32(payload) == checksum)


def interrupted(intent: Intent) -> Final:
    """What is known of a call whose gateway died: the prompt was sent, so it counts; the answer is unknown."""
    return Final(
        id=intent.id,
        started_us=intent.started_us,
        team_id=intent.team_id,
        key_id=intent.key_id,
        endpoint=intent.endpoint,
        requested_model=intent.requested_model,
        served_model=intent.served_model,
        upstream_model=intent.upstream_model,
        provider=intent.provider,
        price_book=intent.price_book,
        streamed=intent.streamed,
        status=None,
        outcome="interrupted",
        origin="partial",
        tokens=Tokens(input=intent.prompt_tokens),
        error_code="gateway_died",
        secret_id=intent.secret_id,
    )
