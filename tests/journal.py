"""What the provider itself said it used: a pass-through between it and the gateway that copies bytes and keeps a copy.

The providers' own journals list requests, not tokens, so the tokens are read from the provider's raw answers, here.
"""

import asyncio
import http.client
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.processes import free_port


class Used(NamedTuple):
    """One answer's usage, as the provider reported it."""

    model: str
    prompt_tokens: int
    completion_tokens: int


class Recorder:
    """Listens on `port` and passes every byte on to `upstream_port`, both ways; use `with`."""

    def __init__(self, upstream_port: int) -> None:
        self.port, self._upstream_port = free_port(), upstream_port
        self._answers: list[bytearray] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Recorder":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def used(self) -> list[Used]:
        """Every answer that reported usage, streamed or not."""
        return [used for _status, body in self.answers() if (used := _used(body))]

    def texts(self, model: str) -> list[str]:
        """What each stream of this model had said when it ended, or was cut off."""
        streams = [list(_messages(body)) for _status, body in self.answers() if body.startswith(b"data: ")]
        return [_text(messages) for messages in streams if messages and messages[0]["model"] == model]

    def statuses(self) -> Counter[int]:
        return Counter(status for status, _body in self.answers())

    def answers(self) -> Iterator[tuple[int, bytes]]:
        """Status and body of each answer; of one that was cut off, what came of it."""
        for connection in list(self._answers):
            yield from _responses(bytes(connection))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port, backlog=256)

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self._answers.append(kept)
        from_upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        both = [
            self._loop.create_task(_copy(reader, to_upstream, bytearray())),
            self._loop.create_task(_copy(from_upstream, writer, kept)),
        ]
        self._tasks.update(both)
        # Either side closing ends both: a hang-up of the gateway must reach the provider at once.
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
            self._tasks.discard(task)
        writer.close()
        to_upstream.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while piece := await reader.read(65_536):
            kept += piece
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return


class _Bytes(io.BytesIO):
    """Looks like a socket to http.client, which closes the file after each answer; the next one is behind it."""

    def makefile(self, *_: object) -> "_Bytes":
        return self

    def close(self) -> None:
        pass


def _responses(raw: bytes) -> Iterator[tuple[int, bytes]]:
    source = _Bytes(raw)
    while source.tell() < len(raw):
        response = http.client.HTTPResponse(source)  # type: ignore[arg-type]
        try:
            response.begin()
            yield response.status, response.read()
        except http.client.IncompleteRead as cut:
            yield response.status, cut.partial
            return


def _used(body: bytes) -> Used | None:
    for message in _messages(body):
        usage = message.get("usage")
        if usage:
            return Used(message["model"], usage["prompt_tokens"], usage.get("completion_tokens", 0))
    return None


def _text(messages: list[dict[str, Any]]) -> str:
    choices = [choice for message in messages for choice in message["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _messages(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON of an answer, or of each whole event of a stream."""
    if not body.startswith(b"data: "):
        yield from [json.loads(body)] if body.startswith(b"{") else []
        return
    for event in body.split(b"\n\n")[:-1]:
        payload = event.removeprefix(b"data: ")
        if payload.startswith(b"{") and payload.endswith(b"}"):
            yield json.loads(payload)
