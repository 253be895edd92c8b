"""A provider that costs next to nothing: fixed answers, and streams whose chunks leave one by one.

`python -m bench.upstream PORT`. A stream has `bench_chunks` chunks, `bench_interval_ms` apart, as the request says.
`GET /calls` says how many calls were begun.
"""

import asyncio
import gc
import json
import re
import resource
import sys
from typing import Any, cast

import uvloop

from bench.wire import MODEL, header

CREATED = 1_700_000_000
USAGE = {"prompt_tokens": 31, "completion_tokens": 14, "total_tokens": 45}
IDENTITY = {"id": "chatcmpl-bench", "created": CREATED, "model": MODEL}


def _chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None, asked: bool) -> bytes:
    body: dict[str, Any] = IDENTITY | {"object": "chat.completion.chunk", "choices": choices}
    if asked:
        body["usage"] = usage
    return _framed(b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n")


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


def _choice(delta: dict[str, str], finish_reason: str | None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def _whole_answer() -> bytes:
    message = {
        "role": "assistant",
        "content": "Paris is the capital of France; the Seine runs through it.",
        "refusal": None,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps(IDENTITY | {"object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return _head(b"application/json", b"content-length: %d" % len(body)) + body


def _head(content_type: bytes, framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: req_bench\r\n%s\r\n\r\n" % (content_type, framing)


ANSWER = _whole_answer()
STREAM_HEAD = _head(b"text/event-stream; charset=utf-8", b"cache-control: no-cache\r\ntransfer-encoding: chunked")
# By "was usage asked for": the chunk that repeats, and the end of the stream.
WORD = {asked: _chunk(_choice({"content": " Seine"}, None), None, asked) for asked in (False, True)}
FINISH = {asked: _chunk(_choice({}, "stop"), None, asked) for asked in (False, True)}
LAST = {False: b"", True: _chunk([], USAGE, asked=True)}
DONE = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
CHUNKS = re.compile(rb'"bench_chunks": ?(\d+)')
INTERVAL = re.compile(rb'"bench_interval_ms": ?(\d+)')
ASKS_USAGE = re.compile(rb'"include_usage": ?true')
calls_begun = 0


class Upstream(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.waiting = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        end = self.waiting.find(b"\r\n\r\n")
        if end < 0:
            return
        whole = end + 4 + int(header(self.waiting[:end], b"content-length") or 0)
        if len(self.waiting) >= whole:
            request, self.waiting = self.waiting[:whole], self.waiting[whole:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        global calls_begun
        if request.startswith(b"GET"):
            count = str(calls_begun).encode()
            self.transport.write(_head(b"text/plain", b"content-length: %d" % len(count)) + count)
            return
        calls_begun += 1
        chunks = CHUNKS.search(request)
        if chunks is None:
            self.transport.write(ANSWER)
            return
        interval = INTERVAL.search(request)
        interval_s = int(interval[1]) / 1000 if interval else 0.0
        self.transport.write(STREAM_HEAD)
        self._stream(int(chunks[1]), interval_s, asked=ASKS_USAGE.search(request) is not None)

    def _stream(self, left: int, interval_s: float, asked: bool) -> None:
        if left:
            self.transport.write(WORD[asked])
            self.timer = asyncio.get_running_loop().call_later(interval_s, self._stream, left - 1, interval_s, asked)
        else:
            self.transport.write(FINISH[asked] + LAST[asked] + DONE)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def raise_open_files() -> None:
    """A thousand streams and their neighbours need more than the usual 1,024 descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    raise_open_files()
    # Nothing here makes cycles, and a collection in the middle of a round would be counted as latency.
    gc.disable()
    uvloop.run(serve(int(sys.argv[1])))
