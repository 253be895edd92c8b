"""The one call the benchmarks make, as bytes, and where HTTP/1.1 messages end in a stream of bytes."""

import json

MODEL = "gpt-4"
END_OF_CHUNKED = b"0\r\n\r\n"
# Long enough to hold `data: [DONE]` and the framing after it.
TAIL = 32


def call(*, key: str, port: int, stream: bool = False, chunks: int = 0, interval_ms: int = 0) -> bytes:
    """A whole request. `bench_*` are fields no gateway knows, passed on to the upstream that obeys them."""
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": "Which city is the capital of France, and which river runs through it?"},
        ],
        "max_tokens": 64,
        "temperature": 0.2,
    }
    if stream:
        body |= {"stream": True, "bench_chunks": chunks, "bench_interval_ms": interval_ms}
    encoded = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header in a raw head, b"" when absent. `name` in lower case, without the colon."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


class Reply:
    """One HTTP/1.1 answer as it arrives: when it is whole, and how many SSE events it held."""

    __slots__ = ("body_size", "events", "head", "length", "tail", "whole")

    def __init__(self) -> None:
        self.head = b""
        self.length: int | None = None
        self.body_size = 0
        self.events = 0
        self.tail = b""
        self.whole = False

    def feed(self, data: bytes) -> None:
        if not self.head:
            data = self._read_head(self.tail + data)
        if not self.head:
            return
        self.body_size += len(data)
        if self.length is not None:
            self.whole = self.body_size >= self.length
            return
        # An event may be cut anywhere by TCP, so its marker is looked for across the last read's end too.
        seen = self.tail + data
        self.events += seen.count(b"data: ") - self.tail.count(b"data: ")
        self.tail = seen[-TAIL:]
        self.whole = seen.endswith(END_OF_CHUNKED)

    @property
    def is_stream(self) -> bool:
        return header(self.head, b"content-type").startswith(b"text/event-stream")

    @property
    def is_done(self) -> bool:
        """Its stream ended as it should: not with an error event, not short of `[DONE]`."""
        return b"data: [DONE]" in self.tail

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    def _read_head(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.tail = data
            return b""
        self.head, self.tail = data[:end], b""
        length = header(self.head, b"content-length")
        self.length = int(length) if length else None
        return data[end + 4 :]
