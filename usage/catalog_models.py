"""The models a fresh instance knows, as data. Windows and dates are the makers' own; None where they publish none.

The four of the seed page come first. `price_book` is the provider of genai-prices whose list prices apply.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

TEXT = ("chat", "streaming", "tools")
STRUCTURED = (*TEXT, "structured_outputs")
FULL = (*STRUCTURED, "vision")
REASONING = (*FULL, "reasoning")
EMBEDDINGS = ("embeddings",)
GPT_4_SHUTDOWN = date(2026, 10, 23)


class Known(NamedTuple):
    """One model of the catalogue. `released_on` is what OpenAI's API calls `created`."""

    name: str
    display_name: str
    released_on: date
    context_length: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...] = REASONING
    encoding: str = "o200k_base"
    shutdown_on: date | None = None
    price_book: str = "openai"
    owned_by: str = "openai"

    @property
    def is_embedding(self) -> bool:
        return self.capabilities == EMBEDDINGS

    @property
    def has_exact_encoding(self) -> bool:
        return self.owned_by == "openai"


OPENAI: tuple[Known, ...] = (
    Known("gpt-4", "GPT-4", date(2023, 6, 27), 8_192, 8_192, TEXT, "cl100k_base", GPT_4_SHUTDOWN),
    Known("gpt-4-32k", "GPT-4 32k", date(2023, 3, 14), 32_768, 32_768, TEXT, "cl100k_base"),
    Known(
        "gpt-4-turbo", "GPT-4 Turbo", date(2024, 4, 9), 128_000, 4_096, (*TEXT, "vision"), "cl100k_base", GPT_4_SHUTDOWN
    ),
    Known("gpt-3.5-turbo", "GPT-3.5 Turbo", date(2023, 2, 28), 16_385, 4_096, TEXT, "cl100k_base", GPT_4_SHUTDOWN),
    Known("gpt-4o", "GPT-4o", date(2024, 5, 13), 128_000, 16_384, FULL),
    Known("gpt-4o-mini", "GPT-4o mini", date(2024, 7, 18), 128_000, 16_384, FULL),
    Known("gpt-4.1", "GPT-4.1", date(2025, 4, 14), 1_047_576, 32_768, FULL),
    Known("gpt-4.1-mini", "GPT-4.1 mini", date(2025, 4, 14), 1_047_576, 32_768, FULL),
    Known("gpt-4.1-nano", "GPT-4.1 nano", date(2025, 4, 14), 1_047_576, 32_768, FULL),
    Known("o1", "o1", date(2024, 12, 17), 200_000, 100_000),
    Known("o3", "o3", date(2025, 4, 16), 200_000, 100_000),
    Known("o3-mini", "o3-mini", date(2025, 1, 31), 200_000, 100_000, (*STRUCTURED, "reasoning")),
    Known("o4-mini", "o4-mini", date(2025, 4, 16), 200_000, 100_000),
    Known("gpt-5", "GPT-5", date(2025, 8, 7), 400_000, 128_000),
    Known("gpt-5-mini", "GPT-5 mini", date(2025, 8, 7), 400_000, 128_000),
    Known("gpt-5-nano", "GPT-5 nano", date(2025, 8, 7), 400_000, 128_000),
    Known("gpt-5.1", "GPT-5.1", date(2025, 11, 13), 400_000, 128_000),
    Known("gpt-5.2", "GPT-5.2", date(2025, 12, 11), 400_000, 128_000),
    Known("gpt-5.4", "GPT-5.4", date(2026, 3, 5), 1_050_000, 128_000),
    Known("gpt-5.4-mini", "GPT-5.4 mini", date(2026, 3, 17), 400_000, 128_000),
    Known("gpt-5.4-nano", "GPT-5.4 nano", date(2026, 3, 17), 400_000, 128_000),
    Known("gpt-5.5", "GPT-5.5", date(2026, 4, 23), 1_000_000, 128_000),
    Known("gpt-5.6-luna", "GPT-5.6 Luna", date(2026, 7, 9), 1_050_000, 128_000),
    Known("gpt-5.6-terra", "GPT-5.6 Terra", date(2026, 7, 9), 1_050_000, 128_000),
    Known("gpt-5.6-sol", "GPT-5.6 Sol", date(2026, 7, 9), 1_050_000, 128_000),
    Known("gpt-6-astra", "GPT-6 Astra", date(2026, 9, 3), 1_050_000, 128_000),
    Known("gpt-6-luna", "GPT-6 Luna", date(2026, 9, 22), 1_050_000, 128_000),
    Known("gpt-6-sol", "GPT-6 Sol", date(2026, 9, 22), 1_050_000, 128_000),
    Known("gpt-6.1-sol", "GPT-6.1 Sol", date(2026, 9, 29), 1_050_000, 128_000),
    Known("gpt-6.1-terra", "GPT-6.1 Terra", date(2026, 10, 26), 1_050_000, 128_000),
    Known("text-embedding-3-small", "Embedding 3 small", date(2024, 1, 25), 8_192, None, EMBEDDINGS, "cl100k_base"),
    Known("text-embedding-3-large", "Embedding 3 large", date(2024, 1, 25), 8_192, None, EMBEDDINGS, "cl100k_base"),
    Known("text-embedding-ada-002", "Embedding Ada 002", date(2022, 12, 15), 8_192, None, EMBEDDINGS, "cl100k_base"),
)


def _other(
    maker: str, name: str, display_name: str, released_on: date, window: int | None, output: int | None
) -> Known:
    """A model of another maker: its tokens are estimated with OpenAI's tokenizer."""
    capabilities = FULL if maker in ("anthropic", "google") else STRUCTURED
    return Known(name, display_name, released_on, window, output, capabilities, price_book=maker, owned_by=maker)


# Reachable through OpenAI-compatible doors of their makers; they get a route when a provider with their book is added.
OTHERS: tuple[Known, ...] = (
    _other("anthropic", "claude-sonnet-4-5", "Claude Sonnet 4.5", date(2025, 9, 29), 200_000, 64_000),
    _other("anthropic", "claude-haiku-4-5", "Claude Haiku 4.5", date(2025, 10, 15), 200_000, 64_000),
    _other("anthropic", "claude-opus-4-5", "Claude Opus 4.5", date(2025, 11, 24), 200_000, 64_000),
    _other("anthropic", "claude-sonnet-5", "Claude Sonnet 5", date(2026, 6, 30), 1_000_000, 128_000),
    _other("anthropic", "claude-opus-5", "Claude Opus 5", date(2026, 7, 24), 1_000_000, 128_000),
    _other("google", "gemini-2.5-pro", "Gemini 2.5 Pro", date(2025, 6, 17), 1_048_576, 65_536),
    _other("google", "gemini-2.5-flash", "Gemini 2.5 Flash", date(2025, 6, 17), 1_048_576, 65_536),
    _other("deepseek", "deepseek-v3.2", "DeepSeek V3.2", date(2025, 12, 1), 128_000, None),
    _other("moonshotai", "kimi-k2.5", "Kimi K2.5", date(2026, 1, 27), 262_144, None),
)

KNOWN: tuple[Known, ...] = OPENAI + OTHERS
