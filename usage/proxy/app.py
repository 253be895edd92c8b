"""The gateway: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`. A bare ASGI callable; `complete` is the list
of its steps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from accounts.networks import caller_address
from usage import frames
from usage.proxy import limits, refusals, replies, tokenizer, wire
from usage.proxy.admitted import NO_ANSWER, Admitted, NoAnswer, ProviderRefused
from usage.proxy.directory import Caller, Directory, UnknownKey, UnknownModel, WrongAddress
from usage.proxy.exchange import BodyTooLarge, CallerGone, Exchange, Headers, Receive, Scope, Send, Watchman
from usage.proxy.limits import Hold, Limiter, NoHeadroom
from usage.proxy.relay import relay_answer, relay_stream
from usage.proxy.spool import Spool, SpoolFull
from usage.proxy.targets import Target
from usage.proxy.upstream import Unreachable, Upstream
from usage.proxy.wire import Call

logger = logging.getLogger(__name__)

# Above this the tokenizer's time (200 MB a second) would be felt by other calls on the event loop.
COUNT_ELSEWHERE_BYTES = 200_000
CONNECT_RETRIES = 1
MOST_ADDRESS = 64
OPENAI_VERSION = (b"openai-version", b"2020-10-01")
JSON = (b"content-type", b"application/json")
OPEN_TO_BROWSERS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*, x-request-id, retry-after, retry-after-ms"),
]
PREFLIGHT: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"*, authorization, content-type, openai-beta, openai-organization, openai-project, x-debug",
    ),
    (b"access-control-max-age", b"86400"),
]


class Gateway:
    def __init__(
        self, directory: Directory, limiter: Limiter, spool: Spool, upstream: Upstream, trusted_proxies: int = 0
    ) -> None:
        self.directory, self.limiter, self.spool, self.upstream = directory, limiter, spool, upstream
        self._trusted_proxies = trusted_proxies
        self.watchman = Watchman()
        # Not the threads that ask the database: with the database hung, a long prompt must still be counted.
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="counting")
        self._routes: dict[str, tuple[str, Callable[[Exchange], Any]]] = {
            "/chat/completions": ("POST", self._chat),
            "/embeddings": ("POST", self._embeddings),
            "/models": ("GET", self._models),
        }

    def serves(self, path: str) -> bool:
        """Both with and without `/v1`, and with a slash at the end."""
        bare = _bare(path)
        return bare in self._routes or bare.startswith("/models/")

    async def warm_up(self) -> None:
        """Unpack the tokenizers of the models in use before somebody's call has to wait for it."""
        for encoding in await asyncio.to_thread(self.directory.encodings_in_use):
            await asyncio.get_running_loop().run_in_executor(self._counting, tokenizer.count, ["ready"], encoding)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self.watchman)
        try:
            await self._serve(exchange)
        except CallerGone:
            pass
        except refusals.EXPECTED as error:
            await self._refuse(exchange, error)
        except Exception as error:
            logger.exception("%s failed", exchange.request_id)
            await self._refuse(exchange, error)

    async def _serve(self, exchange: Exchange) -> None:
        bare = _bare(exchange.path)
        method, act = self._routes.get(bare) or ("GET", self._model)
        if exchange.method == "OPTIONS":
            await exchange.answer(204, [*exchange.base_headers(), *PREFLIGHT], b"")
            return
        if exchange.method != method and not (exchange.method == "HEAD" and method == "GET"):
            raise refusals.WrongMethod(method)
        await act(exchange)

    async def _chat(self, exchange: Exchange) -> None:
        await self.complete(exchange, wire.read_chat)

    async def _embeddings(self, exchange: Exchange) -> None:
        await self.complete(exchange, wire.read_embeddings)

    async def complete(self, exchange: Exchange, read: Callable[[bytes], Call]) -> None:
        """One call, step by step; each step raises what its comment says."""
        caller = await self._caller(exchange)  # BadCredentials, UnknownKey, DirectoryAway, WrongAddress
        call = await self._call(exchange, caller, read)  # BodyTooLarge, UnsupportedMedia, BadCall
        targets = self._targets(caller, call)  # UnknownModel, UnpricedModel
        prompt_tokens, answer_tokens = await self._measure(call, caller, targets[0])  # ContextLengthExceeded
        if not self.spool.has_room:
            raise SpoolFull
        hold = self._reserve(exchange, caller, call, prompt_tokens + answer_tokens)  # NoHeadroom
        admitted = Admitted(exchange, caller, call, hold, self.spool, prompt_tokens)
        await self._forward(admitted, targets)

    # The steps --------------------------------------------------------------------------------------------------

    async def _caller(self, exchange: Exchange) -> Caller:
        secret = exchange.bearer()
        try:
            caller = self.directory.known_caller(secret) or await self.directory.looked_up_caller(secret)
        except UnknownKey:
            raise UnknownKey(secret) from None
        if caller.networks is not None:
            address = caller_address(exchange.connected_from, exchange.forwarded_for(), self._trusted_proxies)
            if address not in caller.networks:
                raise WrongAddress(address[:MOST_ADDRESS] or "unknown")
        exchange.caller = caller
        return caller

    async def _call(self, exchange: Exchange, caller: Caller, read: Callable[[bytes], Call]) -> Call:
        try:
            return read(await exchange.body())
        except refusals.EXPECTED as error:
            await self._refuse(exchange, error, caller)
            raise CallerGone from None

    def _targets(self, caller: Caller, call: Call) -> list[Target]:
        """The model's own routes, then those of its fallbacks. A fallback nobody knows, or this key may not use, is an
        error now, not later."""
        targets = list(self.directory.targets(call.model, caller))
        for model in call.fallback_models:
            targets += self.directory.targets(model, caller)
        wanted = "chat" if call.endpoint == "chat.completions" else "embedding"
        if any(target.kind != wanted for target in targets):
            path = call.endpoint.replace(".", "/")
            raise wire.BadCall(
                f"This is not a {wanted} model and thus not supported in the v1/{path} endpoint.", "model"
            )
        return targets

    async def _measure(self, call: Call, caller: Caller, target: Target) -> tuple[int, int]:
        """Prompt tokens, and the most the answer may take."""
        if wire.text_bytes(call) > COUNT_ELSEWHERE_BYTES or not tokenizer.is_loaded(target.encoding):
            counting = asyncio.get_running_loop().run_in_executor(
                self._counting, wire.prompt_tokens, call, target.encoding
            )
            prompt = await counting
        else:
            prompt = wire.prompt_tokens(call, target.encoding)
        asked = call.max_output_tokens
        if target.context_length is not None and prompt + (asked or 0) > target.context_length:
            raise refusals.ContextLengthExceeded(target.context_length, prompt, asked or 0)
        if asked is None:
            asked = min(target.max_output_tokens or caller.reserve_output_tokens, caller.reserve_output_tokens)
            if target.context_length is not None:
                asked = min(asked, target.context_length - prompt)
        return prompt, asked * call.choices

    def _reserve(self, exchange: Exchange, caller: Caller, call: Call, tokens: int) -> Hold:
        try:
            return self.limiter.reserve(caller.scopes, tokens, time.monotonic_ns())
        except NoHeadroom as error:
            self._record_refusal(exchange, caller, call, error)
            error.model = call.model
            raise

    def _record_refusal(self, exchange: Exchange, caller: Caller, call: Call, error: NoHeadroom) -> None:
        self.spool.write(
            frames.Final(
                id=exchange.id,
                started_us=exchange.started_us,
                team_id=caller.team_id,
                key_id=caller.key_id,
                endpoint=call.endpoint,
                requested_model=call.model,
                served_model=call.model,
                status=429,
                outcome="refused",
                streamed=call.streamed,
                latency_us=exchange.elapsed_us(),
                error_code="rate_limit_exceeded",
                end_user=call.end_user,
                sdk_retry_count=exchange.sdk_retry_count,
                client_request_id=exchange.client_request_id,
                metadata=call.metadata,
                refusal={**refusals.refusal_details(error), **refusals.filled_by(error)},
                secret_id=caller.secret_id,
            )
        )

    async def _forward(self, admitted: Admitted, targets: list[Target]) -> None:
        """Try the targets in turn until one answers. Whatever happens, the call is closed when this returns."""
        exchange, call = admitted.exchange, admitted.call
        relay = relay_stream if call.streamed else relay_answer
        exchange.watch_caller(cancel=not admitted.caller.drains_on_abort)
        try:
            admitted.intend(targets[0])
            for position, target in enumerate(targets):
                if error := await self._try(admitted, target, relay):
                    if position + 1 == len(targets) or not may_fall_back(call, targets[position + 1], error):
                        raise error
                else:
                    return
        except asyncio.CancelledError:
            if not exchange.is_gone:
                # The worker is stopping: the intent in the spool tells the shipper what was under way.
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            await admitted.close(
                "client_abort", status=499, tokens=replies.counted(admitted.prompt_tokens, 0), origin="partial"
            )
        except refusals.EXPECTED as error:
            told = refusals.tell(error, method=exchange.method, path=exchange.path, model=call.model)
            code = getattr(error, "code", None) or told.code or ""
            await admitted.close(
                "upstream_error",
                status=told.status,
                tokens=replies.counted(0, 0),
                origin="none",
                error_code=code,
                upstream_request_id=getattr(error, "request_id", ""),
            )
            await self._refuse(exchange, error, admitted.caller, call.model)
        except Exception:
            await admitted.close(
                "upstream_error", status=500, tokens=replies.counted(0, 0), origin="none", error_code="gateway_error"
            )
            raise
        finally:
            exchange.stop_watching()

    async def _try(self, admitted: Admitted, target: Target, relay: Any) -> NoAnswer | None:
        """None when the caller has its answer; else why this target gave none."""
        body = wire.body_for(admitted.call, target.upstream_model)
        for tries_left in range(CONNECT_RETRIES, -1, -1):
            admitted.trying(target)
            since_ns = time.monotonic_ns()
            try:
                await relay(self.upstream, admitted, target, body, self.rate_headers)
            except NO_ANSWER as error:
                if admitted.exchange.head_sent:
                    raise
                if isinstance(error, Unreachable) and not error.was_sent and tries_left:
                    admitted.failed(target, error, since_ns)
                    continue
                admitted.failed(target, error, since_ns)
                return error
            else:
                return None
        return None

    def rate_headers(self, caller: Caller) -> Headers:
        return limits.headers(caller.scopes, time.monotonic_ns())

    # Models -----------------------------------------------------------------------------------------------------

    async def _models(self, exchange: Exchange) -> None:
        caller = await self._caller(exchange)
        await self._answer_json(exchange, caller, self.directory.models_of(caller))

    async def _model(self, exchange: Exchange) -> None:
        caller = await self._caller(exchange)
        name = _bare(exchange.path).removeprefix("/models/")
        found = self.directory.model_objects.get(name)
        if found is None or not caller.may_use(name):
            await self._refuse(exchange, UnknownModel(name), caller, name)
        else:
            await self._answer_json(exchange, caller, found)

    async def _answer_json(self, exchange: Exchange, caller: Caller, body: bytes) -> None:
        headers = [*caller.base_headers, *exchange.base_headers(), *self.rate_headers(caller), *OPEN_TO_BROWSERS]
        await exchange.answer(200, headers, body)

    # Errors -----------------------------------------------------------------------------------------------------

    async def _refuse(
        self, exchange: Exchange, error: Exception, caller: Caller | None = None, model: str = ""
    ) -> None:
        """Tell the caller, unless the answer has begun: then its stream ends without [DONE], which no SDK takes for
        success."""
        if exchange.head_sent or exchange.is_gone:
            return
        model = model or (str(error) if isinstance(error, UnknownModel) else "")
        told = refusals.tell(error, method=exchange.method, path=exchange.path, model=model)
        debug = None
        if exchange.debug:
            timings = {"elapsed_ms": exchange.elapsed_us() / 1_000}
            debug = {"request_id": exchange.request_id, "error": type(error).__name__, **told.debug, "timings": timings}
        body = wire.envelope(told.message, told.kind, told.param, told.code, debug)
        caller = caller or exchange.caller
        rates = self.rate_headers(caller) if caller is not None else []
        headers = [JSON, OPENAI_VERSION, *exchange.base_headers(), *rates, *told.headers, *OPEN_TO_BROWSERS]
        answer = exchange.answer_and_linger if isinstance(error, BodyTooLarge) else exchange.answer
        await answer(told.status, headers, body)


def may_fall_back(call: Call, to: Target, error: NoAnswer) -> bool:
    """Another route of the same model may always be tried; a fallback model as the caller said. Never for the
    caller's own mistake."""
    is_rate_limit, is_fault = False, True
    if isinstance(error, ProviderRefused):
        is_rate_limit, is_fault = error.status == 429, error.status >= 500 or error.status in (401, 402, 403, 408)
    if to.model == call.model:
        return is_rate_limit or is_fault
    return (is_rate_limit and call.fallback_on_rate_limit) or (is_fault and call.fallback_on_error)


def _bare(path: str) -> str:
    """Without `/v1` and without a slash at the end."""
    bare = path[3:] if path.startswith("/v1/") else path
    return bare.rstrip("/") if bare != "/" else bare
