"""A stream on its way to a caller who leaves."""

import asyncio
import time
from pathlib import Path
from typing import Any

from usage import frames
from usage.proxy.admitted import Admitted
from usage.proxy.directory import Caller
from usage.proxy.exchange import Exchange, Watchman
from usage.proxy.limits import Limiter
from usage.proxy.relay import _Passage
from usage.proxy.spool import Spool
from usage.proxy.targets import Target
from usage.proxy.wire import Call

CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n'


class ForgetfulSource:
    """As pyreqwest does when a piece and the cancelling come together: the piece is given, the cancelling forgotten."""

    request_id = ""

    def __init__(self) -> None:
        self.pieces = 0
        self.is_waiting = asyncio.Event()

    async def piece(self) -> bytes:
        self.pieces += 1
        if self.pieces == 1:
            return CHUNK
        assert self.pieces < 4, "it still reads for a caller who has gone"
        self.is_waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return CHUNK
        raise AssertionError


def test_a_hang_up_that_comes_together_with_a_piece_is_not_forgotten(tmp_path: Path) -> None:
    final = asyncio.run(hung_up_on(tmp_path))
    assert (final.outcome, final.status, final.origin) == ("client_abort", 499, "partial")
    assert final.tokens.prompt == 7
    assert final.tokens.completion == 1


async def hung_up_on(place: Path) -> frames.Final:
    hang_up = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert not hang_up.is_set(), "nothing is sent to a caller who has gone"

    watchman, spool = Watchman(), Spool(place)
    exchange = Exchange({"method": "POST", "path": "/", "headers": []}, receive, send, watchman)
    admitted = Admitted(exchange, CALLER, Call("chat.completions", {}, "gpt-4o", streamed=True), *held(), spool, 7)
    admitted.trying(TARGET)
    source = ForgetfulSource()

    async def serve() -> None:
        exchange.watch_caller(cancel=True)
        await _Passage(admitted, source, TARGET).run(lambda _: [])  # type: ignore[arg-type]

    serving = asyncio.create_task(serve())
    await source.is_waiting.wait()
    watchman.look(time.monotonic_ns() + 1_000_000_000)
    hang_up.set()
    async with asyncio.timeout(5):
        await serving
    spool.close()
    [segment] = [path for path in spool.directory.glob("*.seg") if any(path.read_bytes()[:8])]
    [(final, _)] = frames.read(segment.read_bytes(), 0)
    assert isinstance(final, frames.Final)
    return final


def held() -> tuple[Any]:
    limiter = Limiter(time.monotonic_ns)
    scope = limiter.scope("team", 1, None, None, None)
    return (limiter.reserve((scope,), 10, time.monotonic_ns()),)


CALLER = Caller(
    key_id=1, secret_id=1, key_name="notebook", team_id=1, team_name="Ada's team", expires_at_s=0, scopes=(),
    models=frozenset(), networks=None,
    drains_on_abort=False, reserve_output_tokens=100, base_headers=(),
)  # fmt: skip
TARGET = Target(
    model="gpt-4o", kind="chat", upstream_model="gpt-4o", provider_id=1, provider="P", base_url="http://127.0.0.1:1",
    authorization="", price_book="openai", context_length=None, max_output_tokens=None, encoding="o200k_base",
)  # fmt: skip
