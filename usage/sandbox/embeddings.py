"""Unit vectors from a hash: the same text has the same vector, and that is all they mean."""

from __future__ import annotations

import base64
import hashlib
import math
import sys
from array import array

import msgspec
import toktok

from usage.sandbox.answers import encoding_of
from usage.sandbox.asked import Embed

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536


def vector_of(text: str | list[int], dimensions: int) -> array[float]:
    """32-bit floats of length 1."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else msgspec.json.encode(text)
    numbers = array("h", hashlib.shake_256(raw).digest(2 * dimensions))
    if sys.byteorder == "big":
        numbers.byteswap()
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", (number / length for number in numbers))


def body_of(embed: Embed) -> dict[str, object]:
    """The answer to POST /v1/embeddings."""
    dimensions = embed.dimensions or DIMENSIONS.get(embed.model, DEFAULT_DIMENSIONS)
    data = []
    for index, text in enumerate(embed.inputs):
        vector = vector_of(text, dimensions)
        shown = _base64(vector) if embed.encoding_format == "base64" else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = _count(embed)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": embed.model, "usage": usage}


def _base64(vector: array[float]) -> str:
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _count(embed: Embed) -> int:
    texts = [item for item in embed.inputs if isinstance(item, str)]
    ids = sum(len(item) for item in embed.inputs if not isinstance(item, str))
    return ids + int(sum(toktok.batch_count(texts, encoding_of(embed.model), threads=1)))
