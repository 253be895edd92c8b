"""A provider's event stream, read piece by piece into what the caller may see. Pure: bytes in, bytes out.

A stream that ends without a `finish_reason` is taken by every SDK as a normal end, so the end is judged by content:
only a
reader whose `is_complete` says so may be followed by `[DONE]`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from usage.frames import Tokens
from usage.proxy import replies

# One event larger than this is no chunk of an answer.
MOST_EVENT_BYTES = 8 << 20
DONE = b"data: [DONE]\n\n"
NULL_USAGE = b',"usage":null'


class BrokenStream(Exception):
    """The provider's stream is no answer any more. `before` is what of the last piece the caller may still see."""

    before = b""

    def __init__(self, message: str, code: str, provider_error: Any = None) -> None:
        super().__init__(message)
        self.code, self.provider_error = code, provider_error


class _Delta(msgspec.Struct, gc=False):
    content: Any = UNSET
    role: Any = UNSET
    refusal: Any = None
    tool_calls: Any = UNSET
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = UNSET
    error: Any = None
    model: Any = None
    service_tier: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class StreamReader:
    """Takes the provider's pieces, gives the caller's. Notes usage, text and how each choice ended."""

    def __init__(self, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._rest = b""
        self._last_was_cr = False
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._usage: Any = None
        self._gave_usage = False
        self._head: dict[str, Any] = {}
        self.texts: list[str] = []
        self.tokens: Tokens | None = None
        self.finish_reason = ""
        self.service_tier = ""
        self.model = ""
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Every choice that began has said how it ended."""
        return bool(self._finished) and self._seen == self._finished

    def feed(self, piece: bytes) -> bytes:
        """What the caller gets for this piece. Raises BrokenStream."""
        if b"\r" in piece or self._last_was_cr:
            piece = self._without_cr(piece)
        if self._rest:
            piece = self._rest + piece
        events = piece.split(b"\n\n")
        self._rest = events.pop()
        if len(self._rest) > MOST_EVENT_BYTES:
            raise BrokenStream("the provider sent an endless event", "upstream_broke_off")
        out: list[bytes] = []
        for event in events:
            payload = event[6:] if event.startswith(b"data: ") and b"\n" not in event else _data_of(event)
            try:
                seen = self._take(payload) if payload and not self.is_done else b""
            except BrokenStream as error:
                error.before = b"".join(out)
                raise
            if seen:
                out.append(b"data: %b\n\n" % seen)
        return b"".join(out)

    def end(self) -> bytes:
        """An event without its blank line may still wait at the end of the stream. Raises BrokenStream."""
        return self.feed(b"\n\n") if self._rest.strip() else b""

    def usage_chunk(self, fallback: Tokens) -> bytes:
        """For a caller who asked for usage, when no chunk of its own brought it: built from what is known."""
        if not self._wants_usage or self._gave_usage:
            return b""
        usage = self._usage if self.tokens is not None else replies.usage_object(fallback)
        return b"data: %b\n\n" % _encode({**self._head, "choices": [], "usage": usage})

    def _take(self, payload: bytes) -> bytes:
        if payload.startswith(b"[DONE]"):
            self.is_done = True
            return b""
        try:
            chunk = _decode(payload)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BrokenStream(
                "the provider sent a chunk that is not JSON of the expected form", "upstream_garbled"
            ) from error
        if chunk.error is not None:
            raise BrokenStream("the provider sent an error inside its stream", "upstream_error", chunk.error)
        if not self._head:
            self._remember_head(payload, chunk)
        needs_repair = self._note(chunk)
        if chunk.usage is not UNSET:
            return self._without_usage(payload, chunk, needs_repair)
        return _repaired(payload) if needs_repair else payload

    def _remember_head(self, payload: bytes, chunk: _Chunk) -> None:
        whole = _any(payload)
        self._head = {name: whole[name] for name in ("id", "object", "created", "model") if name in whole}
        self.model = chunk.model if isinstance(chunk.model, str) else ""

    def _note(self, chunk: _Chunk) -> bool:
        """True when a strict SDK would stumble over a null that this provider sends."""
        stumbles = False
        for choice in chunk.choices or ():
            self._seen.add(choice.index)
            if choice.finish_reason:
                self._finished.add(choice.index)
                self.finish_reason = choice.finish_reason
            elif choice.finish_reason is not None:
                # Some providers send an empty one until the end, which strict SDKs refuse.
                stumbles = True
            delta = choice.delta
            if delta is None:
                continue
            if type(delta.content) is str:
                self.texts.append(delta.content)
            if delta.tool_calls is None or delta.role is None:
                stumbles = True
            elif delta.tool_calls is not UNSET:
                self._note_tool_calls(delta.tool_calls)
            if type(delta.refusal) is str:
                self.texts.append(delta.refusal)
        if chunk.service_tier is not None and type(chunk.service_tier) is str:
            self.service_tier = chunk.service_tier
        return stumbles

    def _note_tool_calls(self, calls: Any) -> None:
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            for name in ("name", "arguments"):
                text = function.get(name) if isinstance(function, dict) else None
                if isinstance(text, str):
                    self.texts.append(text)

    def _without_usage(self, payload: bytes, chunk: _Chunk, needs_repair: bool) -> bytes:
        """Usage is noted; it stays only in a chunk of its own, for a caller who asked."""
        if chunk.usage is not None:
            self._usage = chunk.usage
            self.tokens = replies.read_usage(chunk.usage)
            if not chunk.choices:
                if not self._wants_usage or self.tokens is None:
                    return b""
                self._gave_usage = True
                return payload
        elif self._wants_usage:
            return _repaired(payload) if needs_repair else payload
        elif not needs_repair and payload.count(NULL_USAGE) == 1:
            # Quotes inside strings are escaped, so these bytes are the key itself.
            return payload.replace(NULL_USAGE, b"", 1)
        whole = _any(payload)
        del whole["usage"]
        return _repaired(_encode(whole))

    def _without_cr(self, piece: bytes) -> bytes:
        """CR LF and bare CR end a line as LF does; a CR at the end of a piece may have its LF in the next."""
        if self._last_was_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._last_was_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def error_frame(body: bytes) -> bytes:
    """The one frame that every SDK reads as an error: compact JSON, nothing else on it, and no [DONE] after it."""
    return b"data: %b\n\n" % body


def _data_of(event: bytes) -> bytes:
    """The data lines of one event; comments, `event:`, `id:` and `retry:` are for nobody."""
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    # Lines of one event are joined by spaces: between JSON's tokens that is the same, and it leaves one line.
    return b" ".join(lines).strip()


def _repaired(payload: bytes) -> bytes:
    whole = _any(payload)
    for choice in whole.get("choices") or ():
        if choice.get("finish_reason") == "":
            choice["finish_reason"] = None
        delta = choice.get("delta")
        for name in ("role", "tool_calls"):
            if isinstance(delta, dict) and delta.get(name, UNSET) is None:
                del delta[name]
    return _encode(whole)
