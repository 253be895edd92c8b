"""A provider's answer, read and mended. Pure: no Django, no clock, no network.

Providers deviate: what comes back must still be right, and a count that cannot be true is no count.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Raw

from usage.frames import Tokens

_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
ABSURD_TOKENS = 1_000_000_000


def read_usage(usage: Any) -> Tokens | None:
    """A provider's `usage` as exclusive classes; None when it is missing, negative, absurd or inconsistent."""
    if not isinstance(usage, dict):
        return None
    if "prompt_tokens_details" not in usage and "completion_tokens_details" not in usage:
        return _plain_usage(usage.get("prompt_tokens"), usage.get("completion_tokens", 0))
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    inside, outside = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    if not isinstance(inside, dict) or not isinstance(outside, dict):
        return None
    counts = (
        prompt,
        completion,
        inside.get("cached_tokens") or 0,
        inside.get("cache_write_tokens") or 0,
        inside.get("audio_tokens") or 0,
        outside.get("reasoning_tokens") or 0,
        outside.get("audio_tokens") or 0,
    )
    if not all(type(count) is int and 0 <= count <= ABSURD_TOKENS for count in counts):
        return None
    prompt, completion, cached, written, audio_in, reasoning, audio_out = cast("tuple[int, ...]", counts)
    rest_in, rest_out = prompt - cached - written - audio_in, completion - reasoning - audio_out
    if rest_in < 0 or rest_out < 0:
        return None
    return Tokens(rest_in, cached, written, audio_in, rest_out, reasoning, audio_out)


def _plain_usage(prompt: Any, completion: Any) -> Tokens | None:
    if type(prompt) is not int or type(completion) is not int:
        return None
    if not (0 <= prompt <= ABSURD_TOKENS and 0 <= completion <= ABSURD_TOKENS):
        return None
    return Tokens(prompt, 0, 0, 0, completion, 0, 0)


def usage_object(tokens: Tokens) -> dict[str, Any]:
    """The other way round, for a caller who asked and a provider who did not say."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
    }


def counted(prompt: int, completion: int) -> Tokens:
    """Counts of our own: all the text, in the classes of text."""
    return Tokens(prompt, 0, 0, 0, completion, 0, 0)


_UNSET = msgspec.UNSET


class ReplyMessage(msgspec.Struct, gc=False):
    role: Any = _UNSET
    content: Any = _UNSET
    refusal: Any = _UNSET
    tool_calls: Any = _UNSET


class ReplyChoice(msgspec.Struct, gc=False):
    index: Any = _UNSET
    finish_reason: Any = _UNSET
    message: ReplyMessage | None = None
    logprobs: Any = _UNSET


class Reply(msgspec.Struct, gc=False):
    """A provider's whole answer, as far as we read it."""

    id: Any = _UNSET
    object: Any = _UNSET
    created: Any = _UNSET
    model: Any = _UNSET
    choices: list[ReplyChoice] | None = None
    data: Raw = Raw()
    usage: Any = None
    service_tier: Any = None
    error: Any = None


class NotAReply(Exception):
    """What the provider sent with status 200 is no answer: not JSON, cut short, or an error in disguise."""

    code = "upstream_garbled"


_reply = msgspec.json.Decoder(Reply).decode


def read_reply(body: bytes, endpoint: str) -> Reply:
    """Raises NotAReply."""
    try:
        reply = _reply(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotAReply("the provider's answer is not JSON of the expected form") from error
    if reply.error is not None:
        raise NotAReply("the provider put an error inside a 200")
    if (
        (reply.choices is None)
        if endpoint == "chat.completions"
        else (len(memoryview(reply.data)) < 2 or reply.data == Raw(b"null"))
    ):
        raise NotAReply("the provider's answer has no content")
    return reply


def needs_repair(reply: Reply) -> bool:
    """True when a strict SDK would stumble over what this provider left out."""
    if _UNSET in (reply.id, reply.object, reply.created, reply.model):
        return True
    for choice in reply.choices or ():
        message = choice.message
        if message is None or choice.logprobs is _UNSET or choice.finish_reason is _UNSET or choice.index is _UNSET:
            return True
        if (
            message.refusal is _UNSET
            or message.content is _UNSET
            or type(message.role) is not str
            or message.tool_calls is None
        ):
            return True
    return False


def repaired_reply(body: bytes, request_id: str, created: int, model: str) -> bytes:
    """The answer with what the SDKs need: a valid form is left as it is."""
    answer: dict[str, Any] = _any(body)
    answer.setdefault("id", f"chatcmpl-{request_id}")
    answer.setdefault("object", "chat.completion")
    answer.setdefault("created", created)
    answer.setdefault("model", model)
    for position, choice in enumerate(answer.get("choices") or ()):
        choice.setdefault("index", position)
        choice.setdefault("logprobs", None)
        choice.setdefault("finish_reason", None)
        message = choice.get("message") or {}
        choice["message"] = message
        message["role"] = message.get("role") or "assistant"
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        if message.get("tool_calls", _UNSET) is None:
            del message["tool_calls"]
    return _encode(answer)


def reply_texts(reply: Reply) -> list[str]:
    """The answer's text, to count when the provider did not."""
    texts: list[str] = []
    for choice in reply.choices or ():
        if choice.message is not None:
            if isinstance(choice.message.content, str):
                texts.append(choice.message.content)
            if isinstance(choice.message.tool_calls, list):
                texts.append(_encode(choice.message.tool_calls).decode())
    return texts
