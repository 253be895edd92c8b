"""Who calls in the demo, what for, and when. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Rhythm = Literal["office", "night", "evening", "always"]

# Relative traffic by local hour.
HOURS: dict[Rhythm, tuple[int, ...]] = {
    "office": (1, 1, 0, 0, 0, 1, 2, 5, 12, 20, 24, 22, 14, 20, 24, 23, 20, 14, 8, 5, 4, 3, 2, 1),
    "night": (10, 25, 40, 40, 25, 10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5),
    "evening": (6, 3, 2, 1, 1, 2, 5, 8, 9, 9, 10, 12, 14, 12, 11, 12, 14, 17, 22, 27, 28, 25, 18, 11),
    "always": (6, 5, 5, 4, 4, 5, 6, 8, 10, 11, 12, 12, 11, 12, 12, 12, 11, 11, 10, 10, 9, 8, 8, 7),
}
# Monday to Sunday.
WEEKDAYS: dict[Rhythm, tuple[float, ...]] = {
    "office": (1.0, 1.08, 1.1, 1.05, 0.9, 0.18, 0.15),
    "night": (1.0, 1.0, 1.0, 1.0, 1.0, 0.6, 0.6),
    "evening": (0.9, 0.9, 0.92, 0.95, 1.05, 1.25, 1.3),
    "always": (1.0, 1.0, 1.0, 1.0, 1.0, 0.85, 0.8),
}


class Served(NamedTuple):
    """A model in the demo: how fast it is, and how much of its answer is thinking."""

    provider: str
    price_book: str
    first_token_ms: int
    tokens_a_second: int
    thinks: float = 0.0


MODELS: dict[str, Served] = {
    "gpt-4-turbo": Served("OpenAI", "openai", 620, 38),
    "gpt-4o-mini": Served("OpenAI", "openai", 310, 95),
    "gpt-5.4": Served("OpenAI", "openai", 900, 70, 0.35),
    "gpt-5.4-mini": Served("OpenAI", "openai", 420, 120, 0.2),
    "gpt-5.6-luna": Served("OpenAI", "openai", 280, 160, 0.1),
    "gpt-6.1-sol": Served("OpenAI", "openai", 780, 90, 0.4),
    "claude-sonnet-5": Served("Anthropic", "anthropic", 650, 75),
    "text-embedding-3-small": Served("OpenAI", "openai", 90, 0),
}
EMBEDDING = "text-embedding-3-small"


class Mix(NamedTuple):
    """A model's share of a key's calls on the first day and on the last."""

    model: str
    at_start: float
    at_end: float


class Caller(NamedTuple):
    """One key."""

    name: str
    rhythm: Rhythm
    calls_a_day: int
    models: tuple[Mix, ...]
    prompt_tokens: int
    output_tokens: int
    streamed: float
    cached: float = 0.0
    refused: float = 0.0
    service_tier: str = "default"
    feature: str = ""
    # Mallory's: no calls after this share of the span.
    revoked_after: float | None = None
    # Its own limits, models and networks, by column.
    narrowed: Mapping[str, Any] = {}
    is_rotating: bool = False


class Group(NamedTuple):
    """One team, with its members as (name, e-mail, role)."""

    name: str
    tier: str
    time_zone: str
    people: tuple[tuple[str, str, str], ...]
    callers: tuple[Caller, ...]


ADA = Group(
    "Ada Research",
    "Pro",
    "Europe/London",
    (("Ada Lovelace", "ada@example.com", "owner"), ("Alan Turing", "alan@example.com", "member"),
     ("Mallory Vance", "mallory@example.com", "viewer")),
    (
        Caller("notebooks", "office", 210, (Mix("gpt-4-turbo", 5, 0), Mix("gpt-5.4", 3, 4), Mix("gpt-6.1-sol", 0, 6)),
               1_400, 420, 0.85, 0.25, 0.004),
        Caller("evaluation runs", "night", 130, (Mix("gpt-5.4-mini", 6, 5), Mix("claude-sonnet-5", 1, 4)),
               2_600, 650, 0.0, 0.5, 0.03, "flex", is_rotating=True, narrowed={
                   "requests_per_minute": 120, "tokens_per_minute": 200_000, "concurrent_requests": 12,
                   "allowed_models": ["gpt-5.4-mini", "claude-sonnet-5"]}),
        Caller("paper search", "always", 90, (Mix(EMBEDDING, 1, 1),), 900, 0, 0.0, feature="search", narrowed={
            "allowed_models": [EMBEDDING], "ip_ranges": ["10.20.0.0/16", "2001:db8:20::/48"]}),
        Caller("old laptop", "office", 45, (Mix("gpt-4o-mini", 1, 1),), 500, 200, 0.5, revoked_after=0.45),
    ),
)  # fmt: skip
GRACE = Group(
    "Grace Labs",
    "Enterprise",
    "Asia/Shanghai",
    (("Grace Hopper", "grace@example.com", "owner"), ("王小云", "xiaoyun@example.com", "admin")),
    (
        Caller("support assistant", "evening", 330, (Mix("gpt-4o-mini", 6, 2), Mix("gpt-5.6-luna", 2, 7)),
               1_900, 240, 0.97, 0.55, 0.001, feature="support"),
        Caller("code review", "office", 120,
               (Mix("gpt-5.4", 5, 1), Mix("gpt-6.1-sol", 0, 5), Mix("claude-sonnet-5", 3, 4)),
               6_500, 900, 0.6, 0.4, 0.002, feature="review"),
        Caller("夜间摘要", "night", 75, (Mix("gpt-5.6-luna", 1, 1),), 9_000, 380, 0.0, 0.1, 0.0, "batch", "digest"),
    ),
)  # fmt: skip
KATHERINE = Group(
    "Katherine's class",
    "Basic",
    "America/New_York",
    (("Katherine Johnson", "katherine@example.com", "owner"),),
    (Caller("homework helper", "evening", 85, (Mix("gpt-4o-mini", 5, 3), Mix("gpt-5.4-mini", 1, 3)),
            700, 260, 0.9, 0.05, 0.06),),
)  # fmt: skip
GROUPS = (ADA, GRACE, KATHERINE)
