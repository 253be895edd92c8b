"""JSON as the API writes it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JSON(BaseRenderer):
    """By msgspec, because DRF writes exact numbers as strings: `msgspec.Raw` goes out as the number it spells."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else msgspec.json.encode(data)


class AlwaysTheFirst(DefaultContentNegotiation):
    """No 406 for a client that asks for `text/event-stream`, and `?format=` is ours, not DRF's."""

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
