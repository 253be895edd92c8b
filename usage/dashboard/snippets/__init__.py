"""The one source of samples: for curl and the six SDKs, filled with this instance's address and a model it serves.

A sample is a file, `samples/<kind>/<sdk>.txt`. What stands between `<<` and `>>` is filled in; alone on its line, it
gives its lines the same indentation, or takes the line away. A line with `<<env>>` is for a key from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.models import InstanceSettings
from usage.dashboard.snippets.highlight import marked, marked_and_kept, marked_changes
from usage.dashboard.snippets.sdks import SDKS, Sdk
from usage.models import Model

SAMPLES = Path(__file__).parent / "samples"
KEY_VARIABLE, ADMIN_KEY_VARIABLE = "MEGADASH_API_KEY", "MEGADASH_ADMIN_KEY"
PREFERRED = ("gpt-5-mini", "gpt-4o-mini", "gpt-3.5-turbo", "text-embedding-3-small")
ANY_CHAT, ANY_EMBEDDING = "gpt-4o-mini", "text-embedding-3-small"
# What may stand in a shell and in every language's quotes as it is.
PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:/_~%\[\]-]+")
# In one pass: what is filled in may itself hold such words.
PLACE = re.compile(r"^(?P<indentation>[ \t]*)<<(?P<line>\w+)>>\n|<<(?P<word>\w+)>>", re.MULTILINE)
FIRST_CALL = (("user", "Hello"),)
# The kinds that show what changes rather than a whole program.
CHANGES = frozenset(("migrate",))
SHELL = frozenset(("install", "environment"))


@dataclass(frozen=True)
class Filling:
    """`origin` is the address without `/v1`. An empty secret means that the key comes from the environment."""

    origin: str
    model: str = ANY_CHAT
    embedding_model: str = ANY_EMBEDDING
    fallback_model: str = ANY_CHAT
    secret: str = ""
    messages: tuple[tuple[str, str], ...] = FIRST_CALL
    options: Mapping[str, str] = field(default_factory=dict)
    is_kept: bool = True

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def values(self, sdk: Sdk) -> dict[str, str]:
        return {
            "origin": self.origin,
            "base_url": self.base_url,
            "model": sdk.quote(self.model),
            "embedding_model": sdk.quote(self.embedding_model),
            "fallback_model": sdk.quote(self.fallback_model),
            "key": sdk.key(self.secret, KEY_VARIABLE),
            "admin_key": sdk.key("", ADMIN_KEY_VARIABLE),
            "messages": sdk.between_messages.join(_message(sdk, role, text) for role, text in self.messages),
            "options": sdk.between_options.join(
                sdk.options[name].replace("VALUE", value) for name, value in self.options.items()
            ),
        }


@dataclass(frozen=True)
class Sample:
    """`id` and `name` are the SDK's."""

    id: str
    name: str
    code: str
    html: SafeString


@dataclass(frozen=True)
class Snippet:
    """The same thing in several languages."""

    kind: str
    samples: Sequence[Sample]

    @property
    def shows_changes(self) -> bool:
        return self.kind in CHANGES


class Snippets:
    """By kind, made when a template asks for one: `samples.streaming`."""

    def __init__(self, filling: Filling) -> None:
        self.filling = filling

    def __getitem__(self, kind: str) -> Snippet:
        if kind not in kinds():
            raise KeyError(kind)
        return Snippet(kind, list(_samples(kind, self.filling)))


def context(request: HttpRequest, secret: str = "", allowed: Collection[str] = ()) -> dict[str, Any]:
    """`base_url` and `snippet`, the first call in every language. Two queries.

    `allowed` are the models a key may call; empty is every model.
    """
    filling = replace(filling_of(request, allowed), secret=secret, is_kept=not secret)
    return {"base_url": filling.base_url, "snippet": Snippets(filling)["request"]}


def filling_of(request: HttpRequest, allowed: Collection[str] = ()) -> Filling:
    """Two queries."""
    served = _served(allowed)
    chat, embedding = served[Model.Kind.CHAT], served[Model.Kind.EMBEDDING]
    model = _first(chat, ANY_CHAT)
    return Filling(
        origin=origin_of(request),
        model=model,
        embedding_model=_first(embedding, ANY_EMBEDDING),
        fallback_model=_first([name for name in chat if name != model], model),
    )


def origin_of(request: HttpRequest) -> str:
    """Where callers reach this instance: as the administrator says, or as this request did. One query."""
    said = InstanceSettings.objects.values_list("public_url", flat=True).first() or settings.PUBLIC_URL
    public = said.rstrip("/").removesuffix("/v1")
    return public if PLAIN_URL.fullmatch(public) else request.build_absolute_uri("/").rstrip("/")


def kinds() -> list[str]:
    return sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir())


def _samples(kind: str, filling: Filling) -> Iterator[Sample]:
    for sdk in SDKS:
        if source := _source(kind, sdk.id):
            code = _filled(source, sdk, filling)
            if kind in CHANGES:
                yield Sample(sdk.id, sdk.name, code, marked_changes(code))
            else:
                mark = marked_and_kept if filling.is_kept else marked
                yield Sample(sdk.id, sdk.name, code, mark(code, "bash" if kind in SHELL else sdk.grammar))


@lru_cache(maxsize=512)
def _source(kind: str, sdk_id: str) -> str:
    """Empty when there is no such sample."""
    path = SAMPLES / kind / f"{sdk_id}.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _filled(source: str, sdk: Sdk, filling: Filling) -> str:
    values = filling.values(sdk)
    lines = (line for line in source.splitlines() if not (filling.secret and "<<env>>" in line))
    text = "\n".join(lines).replace(" <<env>>", "") + "\n"
    return PLACE.sub(lambda place: _value(place, values), text).strip("\n")


def _value(place: re.Match[str], values: Mapping[str, str]) -> str:
    if word := place["word"]:
        return values[word]
    value, indentation = values[place["line"]], place["indentation"]
    return "".join(f"{indentation}{line}\n" for line in value.split("\n")) if value else ""


def _message(sdk: Sdk, role: str, text: str) -> str:
    return sdk.message.replace("ROLE", sdk.roles[role]).replace("TEXT", sdk.quote(text))


def _served(allowed: Collection[str]) -> dict[str, list[str]]:
    """By kind, the models that some provider answers for, the preferred first. One query."""
    models = Model.objects.filter(enabled=True, routes__enabled=True, routes__provider__enabled=True)
    found = sorted(set(models.values_list("name", "kind")), key=lambda model: (_rank(model[0]), model[0]))
    served: dict[str, list[str]] = {}
    for kind in Model.Kind.values:
        names = [name for name, its_kind in found if its_kind == kind]
        served[kind] = [name for name in names if name in allowed] or names
    return served


def _rank(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _first(names: Sequence[str], otherwise: str) -> str:
    return names[0] if names else otherwise
