"""A call that was let in: what it holds, and the one place where it ends."""

from __future__ import annotations

import time

from usage import frames
from usage.frames import Attempt, Tokens
from usage.proxy import replies
from usage.proxy.directory import Caller
from usage.proxy.exchange import Exchange
from usage.proxy.limits import Hold
from usage.proxy.replies import NotAReply
from usage.proxy.spool import Spool
from usage.proxy.stream import BrokenStream
from usage.proxy.targets import Target
from usage.proxy.upstream import Unreachable
from usage.proxy.wire import Call

NOTHING = replies.counted(0, 0)


class Admitted:
    """From INTENT to FINAL. `close` settles the hold and writes the record, exactly once."""

    __slots__ = (
        "_closed",
        "_hold",
        "_is_trying",
        "_spool",
        "attempts",
        "call",
        "caller",
        "exchange",
        "prompt_tokens",
        "target",
    )

    def __init__(
        self, exchange: Exchange, caller: Caller, call: Call, hold: Hold, spool: Spool, prompt_tokens: int
    ) -> None:
        self.exchange, self.caller, self.call = exchange, caller, call
        self._hold, self._spool = hold, spool
        self.prompt_tokens = prompt_tokens
        self.attempts: list[Attempt] = []
        self.target: Target | None = None
        self._closed = self._is_trying = False

    def intend(self, target: Target) -> None:
        """Written before the call is sent on. Raises SpoolFull."""
        self._spool.write(
            frames.Intent(
                id=self.exchange.id,
                started_us=self.exchange.started_us,
                team_id=self.caller.team_id,
                key_id=self.caller.key_id,
                endpoint=self.call.endpoint,
                requested_model=self.call.model,
                served_model=target.model,
                upstream_model=target.upstream_model,
                provider=target.provider,
                price_book=target.price_book,
                streamed=self.call.streamed,
                prompt_tokens=self.prompt_tokens,
                secret_id=self.caller.secret_id,
            )
        )

    def trying(self, target: Target) -> None:
        """From now on it is this target that answers, or does not."""
        self.target = target
        self._is_trying = True

    def failed(self, target: Target, error: NoAnswer, since_ns: int) -> None:
        """One try that brought no answer; no tokens are charged for it."""
        self._is_trying = False
        self.attempts.append(
            Attempt(
                model=target.model,
                upstream_model=target.upstream_model,
                provider=target.provider,
                price_book=target.price_book,
                status=getattr(error, "status", None),
                error_code=error.code,
                latency_us=(time.monotonic_ns() - since_ns) // 1_000,
                upstream_request_id=_storable(getattr(error, "request_id", ""), 200),
                tokens=NOTHING,
            )
        )

    async def close(
        self,
        outcome: str,
        *,
        status: int,
        tokens: Tokens,
        origin: str,
        ttft_us: int | None = None,
        finish_reason: str = "",
        service_tier: str = "",
        error_code: str = "",
        upstream_request_id: str = "",
        reported_model: str = "",
    ) -> None:
        """The call is over: give back what it held, and have its record safe before the caller's last byte."""
        if self._closed:
            return
        self._closed = True
        exchange, call, target = self.exchange, self.call, self.target
        self._hold.settle(tokens.prompt + tokens.completion, time.monotonic_ns())
        latency_us = exchange.elapsed_us()
        self._spool.write(
            frames.Final(
                id=exchange.id,
                started_us=exchange.started_us,
                team_id=self.caller.team_id,
                key_id=self.caller.key_id,
                endpoint=call.endpoint,
                requested_model=call.model,
                served_model=target.model if target else call.model,
                status=status,
                outcome=outcome,
                provider=target.provider if target else "",
                price_book=target.price_book if target else "",
                upstream_model=target.upstream_model if target else "",
                streamed=call.streamed,
                origin=origin,
                tokens=tokens,
                latency_us=latency_us,
                ttft_us=ttft_us,
                service_tier=_storable(service_tier or call.service_tier, 20),
                finish_reason=_storable(finish_reason, 40),
                error_code=error_code[:100],
                end_user=call.end_user,
                sdk_retry_count=exchange.sdk_retry_count,
                client_request_id=exchange.client_request_id,
                upstream_request_id=_storable(upstream_request_id, 200),
                reported_model=_storable(reported_model, 200),
                metadata=call.metadata,
                attempts=self._all_attempts(tokens, origin, status, error_code, latency_us) if self.attempts else [],
                secret_id=self.caller.secret_id,
            )
        )
        await self._spool.settled()

    def _all_attempts(
        self, tokens: Tokens, origin: str, status: int, error_code: str, latency_us: int
    ) -> list[Attempt]:
        """The tries that failed, and the one under way when the call ended. A call of one try has no children."""
        target = self.target
        if target is None or not self._is_trying:
            return self.attempts if len(self.attempts) > 1 else []
        spent_us = sum(attempt.latency_us for attempt in self.attempts)
        last = Attempt(
            model=target.model,
            upstream_model=target.upstream_model,
            provider=target.provider,
            price_book=target.price_book,
            status=status,
            error_code=error_code,
            latency_us=max(0, latency_us - spent_us),
            tokens=tokens,
            origin=origin,
        )
        return [*self.attempts, last]


def _storable(text: str, most: int) -> str:
    """What a provider wrote, fit for any database: a row that is refused would be a call without a record."""
    return text[:most].replace("\0", "")


class ProviderRefused(Exception):
    """The provider answered with an error."""

    def __init__(self, status: int, body: bytes, request_id: str, retry_after: str = "") -> None:
        super().__init__(f"the provider answered {status}")
        self.status, self.body, self.request_id, self.retry_after = status, body, request_id, retry_after
        self.code = f"upstream_{status}"


# Every way a target can leave us without an answer.
NoAnswer = Unreachable | ProviderRefused | NotAReply | BrokenStream
NO_ANSWER = (Unreachable, ProviderRefused, NotAReply, BrokenStream)
