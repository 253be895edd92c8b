"""The sandbox's ASGI callable: OpenAI's chat completions, embeddings and models, and three models with faults."""

from __future__ import annotations

import asyncio
import calendar
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeVar

import msgspec

from usage.catalog_models import OPENAI
from usage.sandbox import answers, embeddings
from usage.sandbox.answers import Answer
from usage.sandbox.asked import Chat, read_chat, read_embed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Asked = TypeVar("Asked")

FAILS, SLOW, CUT = "sandbox-error-500", "sandbox-slow", "sandbox-cut"
CHUNK_S = 0.01
SLOW_FIRST_BYTE_S, SLOW_CHUNK_S = 3.0, 0.2
TOOL_ARGUMENT_PIECE = 12
MOST_CHOICES, MOST_DIMENSIONS = 128, 4096
MODELS = [
    *((known.name, calendar.timegm(known.released_on.timetuple()), known.owned_by) for known in OPENAI),
    *((name, 1_793_491_200, "megadash") for name in (FAILS, SLOW, CUT)),
]


class Refused(Exception):
    """Becomes OpenAI's error envelope."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", **more: str | None) -> None:
        super().__init__(message)
        self.status = status
        error = {"message": message, "type": kind, "param": more.get("param"), "code": more.get("code")}
        self.body = {"error": error}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await _route(scope, receive, send)
    except Refused as refused:
        await _send_json(send, refused.body, refused.status)


async def _route(scope: Scope, receive: Receive, send: Send) -> None:
    method, path = scope["method"], scope["path"].rstrip("/").removeprefix("/v1")
    if method == "POST" and path == "/chat/completions":
        await _chat(await _body(receive), receive, send)
    elif method == "POST" and path == "/embeddings":
        await _embed(await _body(receive), send)
    elif method == "GET" and path == "/models":
        await _send_json(send, {"object": "list", "data": [_model(*model) for model in MODELS]})
    elif method == "GET" and path.startswith("/models/"):
        await _send_json(send, _model_called(path.removeprefix("/models/")))
    else:
        raise Refused(404, f"Invalid URL ({method} {scope['path']})")


# Chat ----------------------------------------------------------------------------------------------------------------


async def _chat(body: bytes, receive: Receive, send: Send) -> None:
    chat = _read_chat(body)
    if chat.model == FAILS:
        sorry = (
            "The server had an error while processing your request. Sorry about that! (The sandbox fails on purpose.)"
        )
        raise Refused(500, sorry, "server_error")
    found = answers.answers_to(chat)
    if chat.model == SLOW:
        await asyncio.sleep(SLOW_FIRST_BYTE_S)
    if chat.stream:
        await _stream(chat, found, receive, send)
    elif chat.model == CUT:
        await _send_cut(send, msgspec.json.encode(_completion(chat, found)))
    else:
        await _send_json(send, _completion(chat, found))


def _read_chat(body: bytes) -> Chat:
    chat = _read(read_chat, body)
    if not chat.messages:
        raise Refused(400, "Invalid 'messages': empty array. Expected at least one message.", param="messages")
    if not 1 <= (1 if chat.n is None else chat.n) <= MOST_CHOICES:
        raise Refused(400, f"Invalid 'n': expected a value from 1 to {MOST_CHOICES}.", param="n")
    if chat.most_tokens is not None and chat.most_tokens < 1:
        raise Refused(400, "Invalid 'max_tokens': expected a value of at least 1.", param="max_tokens")
    return chat


def _completion(chat: Chat, found: list[Answer]) -> dict[str, Any]:
    choices = [
        {"index": index, "message": _message(answer), "logprobs": None, "finish_reason": answer.finish_reason}
        for index, answer in enumerate(found)
    ]
    return {**_head(chat, "chat.completion"), "choices": choices, "usage": _usage(chat, found)}


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.tool_calls:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    return message


def _head(chat: Chat, kind: str) -> dict[str, Any]:
    tier = "default" if chat.service_tier in (None, "auto") else chat.service_tier
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": chat.model}
    return {**head, "service_tier": tier, "system_fingerprint": "fp_sandbox"}


def _usage(chat: Chat, found: list[Answer]) -> dict[str, Any]:
    used = answers.usage_of(chat, found)
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.prompt + used.completion,
        "prompt_tokens_details": {"cached_tokens": used.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# Streams -------------------------------------------------------------------------------------------------------------


async def _stream(chat: Chat, found: list[Answer], receive: Receive, send: Send) -> None:
    """Ends early when the caller hangs up; `sandbox-cut` ends early by itself, without a finish_reason."""
    events = list(_events(chat, found))
    if chat.model == CUT:
        events = events[: max(2, len(events) // 2)]
    pause_s = SLOW_CHUNK_S if chat.model == SLOW else CHUNK_S
    # After the body, all there is to receive is the hang-up.
    hung_up = asyncio.ensure_future(receive())
    await _start(send, 200, "text/event-stream; charset=utf-8", no_cache=True)
    for event in events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(pause_s)
        if hung_up.done():
            return
    hung_up.cancel()
    if chat.model != CUT:
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def _events(chat: Chat, found: list[Answer]) -> Iterator[bytes]:
    head = _head(chat, "chat.completion.chunk")
    if chat.wants_usage:
        head["usage"] = None
    deltas = [list(_deltas(answer)) for answer in found]
    # Choices take turns, as providers send them.
    for turn in range(max(map(len, deltas))):
        for index, of_choice in enumerate(deltas):
            if turn < len(of_choice):
                delta, finish_reason = of_choice[turn]
                choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
                yield _event({**head, "choices": [choice]})
    if chat.wants_usage:
        yield _event({**head, "choices": [], "usage": _usage(chat, found)})


def _deltas(answer: Answer) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None}, None
    for piece in answers.pieces_of(answer.text):
        yield {"content": piece}, None
    for index, call in enumerate(answer.tool_calls):
        first = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": first}]}, None
        for start in range(0, len(call.arguments), TOOL_ARGUMENT_PIECE):
            piece = call.arguments[start : start + TOOL_ARGUMENT_PIECE]
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, answer.finish_reason


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


# Embeddings and models -----------------------------------------------------------------------------------------------


async def _embed(body: bytes, send: Send) -> None:
    embed = _read(read_embed, body)
    if not embed.inputs:
        raise Refused(400, "Invalid 'input': empty array.", param="input")
    if not 1 <= (1 if embed.dimensions is None else embed.dimensions) <= MOST_DIMENSIONS:
        raise Refused(400, f"Invalid 'dimensions': expected a value from 1 to {MOST_DIMENSIONS}.", param="dimensions")
    await _send_json(send, embeddings.body_of(embed))


def _model(name: str, created: int, owned_by: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owned_by}


def _model_called(wanted: str) -> dict[str, Any]:
    for model in MODELS:
        if model[0] == wanted:
            return _model(*model)
    message = f"The model `{wanted}` does not exist or you do not have access to it."
    raise Refused(404, message, code="model_not_found", param="model")


# HTTP ----------------------------------------------------------------------------------------------------------------


def _read(decode: Callable[[bytes], Asked], body: bytes) -> Asked:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise Refused(400, f"Invalid request: {error}.", code="invalid_type") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "We could not parse the JSON body of your request.") from error


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send_json(send: Send, body: object, status: int = 200) -> None:
    encoded = msgspec.json.encode(body)
    await _start(send, status, "application/json", length=len(encoded))
    await send({"type": "http.response.body", "body": encoded, "more_body": False})


async def _send_cut(send: Send, encoded: bytes) -> None:
    """Promises the whole body and sends half of it: granian closes the connection of an answer left open."""
    await _start(send, 200, "application/json", length=len(encoded))
    await send({"type": "http.response.body", "body": encoded[: len(encoded) // 2], "more_body": True})
    await asyncio.sleep(CHUNK_S)


async def _start(
    send: Send, status: int, content_type: str, *, length: int | None = None, no_cache: bool = False
) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"x-request-id", f"req_{secrets.token_hex(16)}".encode()),
        (b"openai-version", b"2020-10-01"),
        (b"openai-processing-ms", b"1"),
    ]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    if no_cache:
        headers.append((b"cache-control", b"no-cache"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
