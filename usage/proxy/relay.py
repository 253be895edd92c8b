"""One answer on its way: whole, or as a stream. The record is always written before the caller's last byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from usage.frames import Tokens
from usage.proxy import refusals, replies, wire
from usage.proxy.admitted import Admitted, ProviderRefused
from usage.proxy.directory import Caller
from usage.proxy.exchange import Headers
from usage.proxy.replies import NotAReply
from usage.proxy.stream import DONE, BrokenStream, StreamReader, error_frame
from usage.proxy.targets import Target
from usage.proxy.upstream import Unreachable, Upstream, UpstreamStream

RateHeaders = Callable[[Caller], Headers]

EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"access-control-allow-origin", b"*"),
]
# A team that drains reads on after its caller has gone, but no stream longer than this; and how long the end of a
# connection is waited for.
DRAIN_S = 300
TAIL_S = 0.5


async def relay_answer(
    upstream: Upstream, admitted: Admitted, target: Target, body: bytes, rate_headers: RateHeaders
) -> None:
    """Raises Unreachable, ProviderRefused, NotAReply: nothing has been sent to the caller then."""
    exchange, caller, call = admitted.exchange, admitted.caller, admitted.call
    answer = await upstream.answer(target, call.endpoint, body)
    if answer.status != 200:
        raise ProviderRefused(answer.status, target.without_key(answer.body), answer.request_id, answer.retry_after)
    reply = replies.read_reply(answer.body, call.endpoint)
    exchange.stop_watching()
    tokens, origin = replies.read_usage(reply.usage), "provider"
    if tokens is None:
        tokens, origin = (
            replies.counted(admitted.prompt_tokens, wire.count_text(replies.reply_texts(reply), target.encoding)),
            "counted",
        )
    finish = reply.choices[0].finish_reason if reply.choices else None
    await admitted.close(
        "client_abort" if exchange.is_gone else "ok",
        status=499 if exchange.is_gone else 200,
        tokens=tokens,
        origin=origin,
        finish_reason=finish if isinstance(finish, str) else "",
        service_tier=reply.service_tier if isinstance(reply.service_tier, str) else "",
        upstream_request_id=answer.request_id,
        reported_model=reply.model if isinstance(reply.model, str) else "",
    )
    if exchange.is_gone:
        return
    data = answer.body
    if call.endpoint == "chat.completions" and replies.needs_repair(reply):
        data = replies.repaired_reply(data, exchange.request_id[4:], exchange.started_us // 1_000_000, target.model)
    headers = [*caller.base_headers, *exchange.base_headers(), *rate_headers(caller), EVENT_STREAM[3]]
    await exchange.answer(200, headers, data)


async def relay_stream(
    upstream: Upstream, admitted: Admitted, target: Target, body: bytes, rate_headers: RateHeaders
) -> None:
    """Raises Unreachable, ProviderRefused, NotAReply, BrokenStream before the caller's first byte only."""
    async with upstream.stream(target, admitted.call.endpoint, body) as source:
        if source.status != 200:
            body = target.without_key(await source.rest())
            raise ProviderRefused(source.status, body, source.request_id, source.retry_after)
        if not source.is_event_stream:
            raise NotAReply("the provider did not send the stream that was asked for")
        await _Passage(admitted, source, target).run(rate_headers)


class _Passage:
    """One stream between its first and last byte."""

    def __init__(self, admitted: Admitted, source: UpstreamStream, target: Target) -> None:
        self._admitted, self._source, self._target = admitted, source, target
        self._exchange = admitted.exchange
        self._reader = StreamReader(admitted.call.wants_usage)
        self._ttft_us: int | None = None
        self._begun_at = time.monotonic()

    async def run(self, rate_headers: RateHeaders) -> None:
        try:
            await self._until_end(rate_headers)
        except (BrokenStream, Unreachable) as error:
            if not self._exchange.head_sent:
                raise
            await self._break_off(error)
        except asyncio.CancelledError:
            if not self._exchange.is_gone:
                raise
            await self._hung_up()
            raise

    async def _until_end(self, rate_headers: RateHeaders) -> None:
        source, reader, exchange = self._source, self._reader, self._exchange
        while not reader.is_done:
            piece = await source.piece()
            if exchange.is_gone and not self._goes_on_draining():
                # Also when the cancelling came together with this piece: pyreqwest then gives the piece and forgets it.
                await self._hung_up()
                return
            seen = reader.feed(piece) if piece else reader.end()
            if seen and not exchange.is_gone:
                if not exchange.head_sent:
                    self._ttft_us = exchange.elapsed_us()
                    await self._begin(rate_headers)
                await exchange.stream(seen)
            if not piece:
                break
        if not reader.is_complete:
            raise BrokenStream("the provider's stream stopped short", "upstream_broke_off")
        await self._finish()

    def _goes_on_draining(self) -> bool:
        return self._admitted.caller.drains_on_abort and time.monotonic() - self._begun_at < DRAIN_S

    async def _begin(self, rate_headers: RateHeaders) -> None:
        caller = self._admitted.caller
        headers = [*EVENT_STREAM, *caller.base_headers[1:], *self._exchange.base_headers(), *rate_headers(caller)]
        await self._exchange.begin_stream(headers)

    async def _finish(self) -> None:
        """A whole answer: record it, then let the caller have the end."""
        exchange, reader = self._exchange, self._reader
        exchange.stop_watching()
        tokens, origin = self._tokens("counted")
        gone = exchange.is_gone
        await self._close("client_abort" if gone else "ok", 499 if gone else 200, tokens, origin)
        if not gone:
            await exchange.end_stream(reader.usage_chunk(tokens) + DONE)
        await self._read_tail()

    async def _break_off(self, error: BrokenStream | Unreachable) -> None:
        """The caller sees one error frame and no [DONE]; what came before is charged."""
        self._exchange.stop_watching()
        tokens, origin = self._tokens("counted")
        await self._close("upstream_error", 200, tokens, origin, error_code=error.code)
        if self._exchange.is_gone:
            return
        told = refusals.tell(error, method="POST", path=self._exchange.path)
        debug = {"request_id": self._exchange.request_id, **told.debug} if self._exchange.debug else None
        before = error.before if isinstance(error, BrokenStream) else b""
        frame = error_frame(wire.envelope(told.message, told.kind, told.param, told.code, debug))
        await self._exchange.end_stream(before + frame)

    async def _hung_up(self) -> None:
        """The caller went away and the provider is stopped: what was delivered counts, and so does the prompt."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        tokens, origin = self._tokens("partial")
        await self._close("client_abort", 499, tokens, origin)

    def _tokens(self, origin: str) -> tuple[Tokens, str]:
        """The provider's own count when it came, else ours of what passed."""
        if self._reader.tokens is not None:
            return self._reader.tokens, "provider"
        completion = wire.count_text(self._reader.texts, self._target.encoding)
        return replies.counted(self._admitted.prompt_tokens, completion), origin

    async def _close(self, outcome: str, status: int, tokens: Tokens, origin: str, error_code: str = "") -> None:
        reader = self._reader
        await self._admitted.close(
            outcome,
            status=status,
            tokens=tokens,
            origin=origin,
            ttft_us=self._ttft_us,
            finish_reason=reader.finish_reason,
            service_tier=reader.service_tier,
            error_code=error_code,
            upstream_request_id=self._source.request_id,
            reported_model=reader.model,
        )

    async def _read_tail(self) -> None:
        """Up to the end of the provider's body: only then can its connection be used again."""
        try:
            async with asyncio.timeout(TAIL_S):
                while await self._source.piece():
                    pass
        except (TimeoutError, Unreachable):
            return
