"""The way to the providers: pyreqwest behind a small door, so that it can be changed."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

from pyreqwest.bytes import Bytes
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import RequestBuilder, StreamRequest
from pyreqwest.response import Response

from usage.proxy.targets import Target

CONNECT_TIMEOUT_S = 5
# A whole answer of a reasoning model may take minutes before its first byte; a stream that is silent this long is
# broken.
ANSWER_TIMEOUT_S = 600
SILENCE_TIMEOUT_S = 120
MOST_ANSWER_BYTES = 64 << 20
PATHS = {"chat.completions": "/chat/completions", "embeddings": "/embeddings"}


class Unreachable(Exception):
    """No answer: the provider could not be reached, broke off, or was silent too long."""

    def __init__(self, message: str, code: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.code, self.was_sent = code, was_sent


class Answer(NamedTuple):
    """A provider's whole answer."""

    status: int
    body: bytes
    request_id: str
    retry_after: str


class Upstream:
    """One pool for whole answers and one for streams: their patience differs."""

    def __init__(self) -> None:
        self._answers = _client(ANSWER_TIMEOUT_S)
        self._streams = _client(SILENCE_TIMEOUT_S)

    async def answer(self, target: Target, endpoint: str, body: bytes) -> Answer:
        """Raises Unreachable."""
        request = _request(self._answers, target, endpoint, body).build()
        try:
            response = await request.send()
            data = bytes(await response.bytes())
        except PyreqwestError as error:
            raise unreachable(error) from error
        if (response.get_header("content-encoding") or "identity") != "identity":
            data = _inflated(data)
        header = response.get_header
        return Answer(
            response.status,
            data,
            header("x-request-id") or "",
            "" if response.status == 200 else header("retry-after") or "",
        )

    def stream(self, target: Target, endpoint: str, body: bytes) -> UpstreamStream:
        # Without this limit pyreqwest collects 64 KiB before it hands out the first byte.
        request = _request(self._streams, target, endpoint, body).streamed_read_buffer_limit(0)
        return UpstreamStream(request.build_streamed())

    async def close(self) -> None:
        await self._answers.close()
        await self._streams.close()


class UpstreamStream:
    """An answer read piece by piece; leaving the block closes the connection, which stops the provider."""

    def __init__(self, request: StreamRequest) -> None:
        self._request = request
        self._response: Response | None = None
        self._read_chunk: Callable[[], Awaitable[Bytes | None]] | None = None

    async def __aenter__(self) -> UpstreamStream:
        try:
            self._response = await self._request.__aenter__()
        except PyreqwestError as error:
            raise unreachable(error) from error
        # Looked up once: the loop over the pieces is the hottest of all.
        self._read_chunk = self._response.body_reader.read_chunk
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._request.__aexit__(kind, error, trace)

    @property
    def status(self) -> int:
        assert self._response is not None
        return self._response.status

    @property
    def request_id(self) -> str:
        assert self._response is not None
        return self._response.get_header("x-request-id") or ""

    @property
    def retry_after(self) -> str:
        assert self._response is not None
        return self._response.get_header("retry-after") or ""

    @property
    def is_event_stream(self) -> bool:
        assert self._response is not None
        return (self._response.get_header("content-type") or "").startswith("text/event-stream")

    async def piece(self) -> bytes:
        """What has come, b"" at the end. Raises Unreachable."""
        assert self._read_chunk is not None
        try:
            piece = await self._read_chunk()
        except PyreqwestError as error:
            raise unreachable(error) from error
        return b"" if piece is None else bytes(piece)

    async def rest(self, most_bytes: int = 1 << 20) -> bytes:
        """The whole body, for an error. Raises Unreachable."""
        pieces: list[bytes] = []
        length = 0
        while (piece := await self.piece()) and length < most_bytes:
            pieces.append(piece)
            length += len(piece)
        return b"".join(pieces)


def unreachable(error: PyreqwestError) -> Unreachable:
    if isinstance(error, ConnectTimeoutError) or _never_connected(error):
        return Unreachable("the provider cannot be reached", "upstream_unreachable", was_sent=False)
    if isinstance(error, RequestTimeoutError):
        return Unreachable("the provider did not answer in time", "upstream_timeout", was_sent=True)
    return Unreachable("the provider broke off its answer", "upstream_broke_off", was_sent=True)


def _never_connected(error: PyreqwestError) -> bool:
    """pyreqwest says ConnectError also of a connection lost with the request on it, which may have been charged."""
    causes = (getattr(error, "details", None) or {}).get("causes") or ()
    return isinstance(error, ConnectError) and any("(Connect)" in cause["message"] for cause in causes)


def _client(silence_s: int) -> Client:
    return (
        ClientBuilder()
        .user_agent("megadash")
        .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
        .read_timeout(timedelta(seconds=silence_s))
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        # Decoding is ours, with a bound: a provider must not fill our memory with a compressed bomb.
        .gzip(False)
        .deflate(False)
        .brotli(False)
        .zstd(False)
        .build()
    )


def _request(client: Client, target: Target, endpoint: str, body: bytes) -> RequestBuilder:
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if target.authorization:
        headers["authorization"] = target.authorization
    return client.post(target.base_url + PATHS[endpoint]).headers(headers).body_bytes(body)


def _inflated(data: bytes) -> bytes:
    """A body that came compressed although we did not ask for it. Raises Unreachable."""
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(data, MOST_ANSWER_BYTES)
    except zlib.error as error:
        raise Unreachable(
            "the provider's answer cannot be decompressed", "upstream_broke_off", was_sent=True
        ) from error
    if inflater.unconsumed_tail:
        raise Unreachable("the provider's answer is too large", "upstream_too_large", was_sent=True)
    return plain
