"""Request -> answer, the same each time: text, tool calls or JSON, with usage counted by a real tokenizer."""

from __future__ import annotations

import hashlib
import random
import re
from typing import NamedTuple

import msgspec
import toktok

from usage.catalog_models import KNOWN
from usage.sandbox import phrases
from usage.sandbox.asked import Chat, Function
from usage.sandbox.schemas import Filler

ENCODINGS = {known.name: known.encoding for known in KNOWN}
REASONS = frozenset(known.name for known in KNOWN if "reasoning" in known.capabilities)
CHINESE = re.compile("[\u4e00-\u9fff]")
# Words with the blanks behind them; Chinese by the character.
PIECES = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]|[^\\s\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+\\s*|\\s+")
NAMES = re.compile('(?<=[a-z,] )[A-Z][a-z]+|["“]([^"”]+)["”]')
TOKENS_A_MESSAGE = 3
TOKENS_AN_IMAGE = 85
# As OpenAI caches prompts: from 1,024 tokens on, in steps of 128.
LEAST_CACHED, CACHE_STEP = 1024, 128


class ToolCall(NamedTuple):
    id: str
    name: str
    arguments: str


class Answer(NamedTuple):
    """One choice."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str


class Usage(NamedTuple):
    prompt: int
    cached: int
    completion: int
    reasoning: int


def answers_to(chat: Chat) -> list[Answer]:
    functions = _functions_to_call(chat)
    if functions:
        return [_calling(chat, functions, index) for index in range(chat.n or 1)]
    return [_saying(chat, index) for index in range(chat.n or 1)]


def usage_of(chat: Chat, answers: list[Answer]) -> Usage:
    """Prompt overhead as OpenAI documents it; half of a long prompt counts as cached."""
    texts = [message.role + message.text + (message.name or "") for message in chat.messages]
    if chat.tools:
        texts.append(msgspec.json.encode(chat.tools).decode())
    said = [answer.text + "".join(call.name + call.arguments for call in answer.tool_calls) for answer in answers]
    counts = toktok.batch_count(texts + said, encoding_of(chat.model), threads=1)
    attachments = sum(message.attachments for message in chat.messages)
    prompt = sum(counts[: len(texts)]) + TOKENS_A_MESSAGE * (len(chat.messages) + 1) + TOKENS_AN_IMAGE * attachments
    reasoning = _reasoning_tokens(chat) * len(answers)
    cached = prompt // 2 // CACHE_STEP * CACHE_STEP if prompt >= LEAST_CACHED else 0
    return Usage(prompt, cached, sum(counts[len(texts) :]) + reasoning, reasoning)


def pieces_of(text: str) -> list[str]:
    """What a stream sends one by one."""
    return PIECES.findall(text)


def encoding_of(model: str) -> str:
    return ENCODINGS.get(model, "o200k_base")


def _functions_to_call(chat: Chat) -> list[Function]:
    """The tools whose names are in the last user message, or the first tool; none after a tool has answered."""
    if not chat.functions or chat.tool_choice == "none" or chat.messages[-1].role in ("tool", "function"):
        return []
    if isinstance(chat.tool_choice, dict):
        named = (chat.tool_choice.get("function") or {}).get("name")
        return [function for function in chat.functions if function.name == named][:1]
    asked = chat.last_user_text
    mentioned = [function for function in chat.functions if function.name in asked] or chat.functions[:1]
    return mentioned[:1] if chat.parallel_tool_calls is False else mentioned


def _calling(chat: Chat, functions: list[Function], index: int) -> Answer:
    asked = chat.last_user_text
    calls = []
    for position, function in enumerate(functions):
        hints = [match.group(1) or match.group() for match in NAMES.finditer(asked)]
        arguments = Filler(function.parameters or {"type": "object"}, hints).fill()
        digest = _digest(chat, f"{index}/{position}/{function.name}").hex()
        calls.append(ToolCall(f"call_{digest[:24]}", function.name, msgspec.json.encode(arguments).decode()))
    return Answer("", tuple(calls), "tool_calls")


def _saying(chat: Chat, index: int) -> Answer:
    text = _json_text(chat) or _prose(chat, index)
    for stop in [chat.stop] if isinstance(chat.stop, str) else chat.stop or ():
        text = text.partition(stop)[0] if stop else text
    if chat.most_tokens is None:
        return Answer(text, (), "stop")
    kept, tokens = toktok.truncate(text, max(chat.most_tokens, 0), encoding_of(chat.model))
    return Answer(kept, (), "length" if tokens > chat.most_tokens else "stop")


def _json_text(chat: Chat) -> str:
    wanted = chat.response_format
    if wanted is None or wanted.type == "text":
        return ""
    if wanted.type == "json_schema" and wanted.json_schema and wanted.json_schema.schema:
        hints = [match.group(1) or match.group() for match in NAMES.finditer(chat.last_user_text)]
        return msgspec.json.encode(Filler(wanted.json_schema.schema, hints).fill()).decode()
    return msgspec.json.encode({"sandbox": True, "model": chat.model, "answer": _prose(chat, 0)}).decode()


def _prose(chat: Chat, index: int) -> str:
    language = "zh" if CHINESE.search(chat.last_user_text) else "en"
    chosen = random.Random(_digest(chat, str(index)))  # noqa: S311 - a choice of words, not a secret
    sentences = chosen.sample(phrases.SENTENCES[language], chosen.randint(2, 6))
    joint = "" if language == "zh" else " "
    return joint.join([phrases.OPENING[language].format(model=chat.model), *sentences])


def _reasoning_tokens(chat: Chat) -> int:
    """Some for models that think, unless told not to or there is little room."""
    if chat.model not in REASONS or chat.reasoning_effort in ("none", "minimal") or (chat.most_tokens or 1024) < 1024:
        return 0
    return 64 * (1 + _digest(chat, "reasoning")[0] % 6)


def _digest(chat: Chat, salt: str) -> bytes:
    said = msgspec.json.encode([chat.model, [[message.role, message.content] for message in chat.messages], salt])
    return hashlib.sha256(said).digest()
