"""A provider that misbehaves on purpose, each model in its own way: raw bytes over a socket, so anything goes."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
HEAD = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-4-0613"}
SECRET = "sk-the-providers-own-secret"
EVENTS = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
JSON = "content-type: application/json\r\n"


class Asked(NamedTuple):
    model: str
    headers: dict[str, str]
    body: dict[str, Any]


class Peer:
    """One call, as the provider has it: what was asked, and the raw way back."""

    def __init__(self, asked: Asked, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self.asked, self._writer, self._reader = asked, writer, reader

    async def send(self, data: str | bytes) -> None:
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def answer(self, status: int, body: str | bytes | dict[str, Any], headers: str = JSON) -> None:
        data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
        await self.send(f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n{headers}\r\n".encode() + data)

    async def begin(self) -> None:
        await self.send(f"HTTP/1.1 200 OK\r\nx-request-id: req_upstream\r\n{EVENTS}\r\n")

    async def event(self, payload: dict[str, Any] | str) -> None:
        data = f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n".encode()
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def words(self, *words: str) -> None:
        for word in words:
            await self.event(chunk(word))

    async def end(self) -> None:
        await self.send("0\r\n\r\n")

    def reset(self) -> None:
        transport: Any = self._writer.transport
        transport.abort()

    async def gone(self) -> bool:
        """True once the gateway has hung up; False when it has not for five seconds."""
        try:
            async with asyncio.timeout(5):
                return not await self._reader.read(1)
        except ConnectionError:
            return True
        except TimeoutError:
            return False


Script = Callable[[Peer], Awaitable[None]]


def chunk(content: str = "", finish: str | None = None) -> dict[str, Any]:
    return {
        **HEAD,
        "choices": [{"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}],
    }


def completion(content: str = "four words of text", **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE, **fields}


class Provider:
    """`received` is every call; `stopped` the models whose call the gateway gave up while it was answered."""

    def __init__(self) -> None:
        self.received: list[Asked] = []
        self.stopped: set[str] = set()
        self.port = 0

    def asked_of(self, model: str) -> list[Asked]:
        return [asked for asked in self.received if asked.model == model]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await self._request(reader)
                self.received.append(asked)
                peer = Peer(asked, writer, reader)
                await (SCRIPTS.get(asked.model) or well)(peer)
                if asked.model.startswith("endless") and await peer.gone():
                    self.stopped.add(asked.model)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:-2])
        }
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        return Asked(body["model"], headers, body)


@contextmanager
def provider() -> Iterator[Provider]:
    """In a thread of its own, on a free port."""
    made, loop, ready = Provider(), asyncio.new_event_loop(), threading.Event()
    servers: list[asyncio.Server] = []

    async def run() -> None:
        servers.append(await asyncio.start_server(made.serve, "127.0.0.1", 0))
        made.port = servers[0].sockets[0].getsockname()[1]
        ready.set()

    async def end() -> None:
        servers[0].close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def work() -> None:
        loop.run_until_complete(run())
        loop.run_forever()
        loop.run_until_complete(end())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


# The scripts, by the model's name ------------------------------------------------------------------------------------


async def well(peer: Peer) -> None:
    if not peer.asked.body.get("stream"):
        await peer.answer(200, completion(), JSON + "x-request-id: req_upstream\r\nset-cookie: a=b\r\n")
        return
    await peer.begin()
    await peer.words("one", " two", " three")
    await peer.event(chunk(finish="stop"))
    await peer.event({**HEAD, "choices": [], "usage": USAGE})
    await peer.event("[DONE]")
    await peer.end()


async def slow(peer: Peer) -> None:
    await asyncio.sleep(0.5)
    await well(peer)


async def resets_after_two(peer: Peer) -> None:
    await peer.begin()
    await peer.words("one", " two")
    await asyncio.sleep(0.1)
    peer.reset()


async def resets_at_once(peer: Peer) -> None:
    peer.reset()


async def stops_short(peer: Peer) -> None:
    """A clean end without a finish_reason."""
    await peer.begin()
    await peer.words("one", " two")
    await asyncio.sleep(0.05)
    await peer.end()


async def empty_stream(peer: Peer) -> None:
    await peer.begin()
    await peer.end()


async def truncated(peer: Peer) -> None:
    data = json.dumps(completion())
    await peer.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(data)}\r\n{JSON}\r\n{data[:-20]}")
    peer._writer.close()


async def error_in_200(peer: Peer) -> None:
    await peer.answer(200, {"error": {"message": f"no more, {SECRET}"}})


async def error_frame(peer: Peer) -> None:
    await peer.begin()
    await peer.words("one")
    await asyncio.sleep(0.05)
    await peer.event({"error": {"message": "overloaded", "type": "x", "code": 7}})
    await peer.end()


async def html_error(peer: Peer) -> None:
    await peer.answer(503, "<html>Bad day</html>", "content-type: text/html\r\n")


async def html_200(peer: Peer) -> None:
    await peer.answer(200, "<html>Login</html>", "content-type: text/html\r\n")


async def refuses_key(peer: Peer) -> None:
    await peer.answer(401, {"error": {"message": f"Incorrect API key provided: {SECRET}", "code": "invalid_api_key"}})


async def unprocessable(peer: Peer) -> None:
    await peer.answer(422, {"error": {"message": "seed must be even", "param": "seed", "code": 422}})


async def rate_limited(peer: Peer) -> None:
    await peer.answer(
        429,
        {"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}},
        JSON + "retry-after: 7\r\n",
    )


async def fails(peer: Peer) -> None:
    await peer.answer(500, {"error": {"message": "oops"}}, JSON + f"x-request-id: {'r' * 500}\r\n")


async def gzipped(peer: Peer) -> None:
    await peer.answer(200, gzip.compress(json.dumps(completion()).encode()), JSON + "content-encoding: gzip\r\n")


async def identity(peer: Peer) -> None:
    await peer.answer(200, completion(), JSON + "content-encoding: identity\r\n")


async def bomb(peer: Peer) -> None:
    await peer.answer(200, gzip.compress(bytes(100 << 20), 9), JSON + "content-encoding: gzip\r\n")


async def negative_usage(peer: Peer) -> None:
    await peer.answer(200, completion(usage={"prompt_tokens": -900, "completion_tokens": -3, "total_tokens": -903}))


async def no_usage(peer: Peer) -> None:
    if peer.asked.body.get("stream"):
        await peer.begin()
        await peer.words("one", " two", " three")
        await peer.event(chunk(finish="stop"))
        await peer.end()
    else:
        await peer.answer(200, completion("one two three", usage=None))


async def odd_texts(peer: Peer) -> None:
    answer = completion(model="m\0" * 300, service_tier="t\0" * 30)
    answer["choices"][0]["finish_reason"] = "f\0" * 60
    await peer.answer(200, answer, JSON + f"x-request-id: {'r' * 500}\r\n")


async def endless(peer: Peer) -> None:
    await peer.begin()
    await peer.words("one", " two")


async def endless_before_first_byte(peer: Peer) -> None:
    pass


SCRIPTS: dict[str, Script] = {
    "slow": slow,
    "resets-after-two": resets_after_two,
    "resets-at-once": resets_at_once,
    "stops-short": stops_short,
    "empty-stream": empty_stream,
    "truncated": truncated,
    "error-in-200": error_in_200,
    "error-frame": error_frame,
    "html-error": html_error,
    "html-200": html_200,
    "refuses-key": refuses_key,
    "unprocessable": unprocessable,
    "rate-limited": rate_limited,
    "fails": fails,
    "gzipped": gzipped,
    "identity": identity,
    "bomb": bomb,
    "negative-usage": negative_usage,
    "no-usage": no_usage,
    "odd-texts": odd_texts,
    "endless": endless,
    "endless-before-first-byte": endless_before_first_byte,
    "well": well,
    "drained": slow,
}
