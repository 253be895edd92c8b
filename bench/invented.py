"""Ten million calls for `python -m bench.pages`: 3 teams, 60 keys, 12 models, 400 days. A function of a seed.

Calls are drawn from a few hundred samples a key and model, each made and priced by the ledger's own functions; so an
event costs microseconds to invent, and what it adds to the buckets is the ledger's own sum.
"""

import math
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from usage import frames, ledger, pricing
from usage.models import MEASURES

DAYS = 400
SLOTS_A_DAY = 96
SLOT_US = 900_000_000
SAMPLES = 240
# Relative traffic by UTC hour, and from Monday to Sunday.
HOURS = (3, 2, 2, 2, 3, 5, 9, 16, 22, 24, 23, 20, 22, 24, 23, 20, 16, 11, 8, 7, 6, 5, 4, 3)
WEEKDAYS = (1.0, 1.06, 1.08, 1.04, 0.92, 0.4, 0.35)
FAULTS = ((500, "upstream_500"), (503, "upstream_503"), (504, "upstream_timeout"))


class Team(NamedTuple):
    name: str
    tier: str
    zone: str
    keys: int
    # Of all calls.
    share: float


TEAMS = (
    Team("Grace's platform", "Enterprise", "Europe/Berlin", 34, 0.70),
    Team("Ada's team", "Pro", "Asia/Kolkata", 18, 0.25),
    Team("Katherine's class", "Basic", "UTC", 8, 0.05),
)
TAGS = ("search", "support", "batch", "")
# Provider, prompt and answer length, tokens a second.
MODELS: Mapping[str, tuple[str, int, int, int]] = {
    "gpt-5-mini": ("OpenAI", 2_200, 420, 120),
    "gpt-4o-mini": ("OpenAI", 1_400, 260, 95),
    "gpt-5": ("OpenAI", 3_800, 900, 70),
    "gpt-4.1": ("Azure OpenAI", 2_900, 500, 60),
    "gpt-5-nano": ("OpenAI", 900, 180, 190),
    "gpt-4.1-mini": ("Azure OpenAI", 1_800, 300, 110),
    "gpt-4o": ("Azure OpenAI", 2_400, 380, 75),
    "o4-mini": ("OpenAI", 1_600, 1_500, 90),
    "text-embedding-3-small": ("OpenAI", 700, 0, 0),
    "gpt-4.1-nano": ("OpenAI", 800, 150, 200),
    "o3": ("OpenAI", 2_500, 2_200, 60),
    "gpt-4-turbo": ("OpenAI", 1_900, 350, 35),
}
KEYS = sum(team.keys for team in TEAMS)
MODELS_A_KEY = 4


class Key(NamedTuple):
    """A row of the database, with what it calls: models by weight at the start and at the end."""

    team_id: int
    id: int
    share: float
    models: tuple[tuple[str, float, float], ...]


class Sample(NamedTuple):
    """One call without its id and time. `place` numbers its bucket's dimensions, `timing` its latency bins."""

    tail: tuple[Any, ...]
    line: str
    measures: list[int]
    place: int
    timing: tuple[int, int | None, int | None]
    minute: list[int]
    attempts: tuple[tuple[Any, ...], ...]


# What tells buckets apart besides time: team, key, model, provider, service tier.
Place = tuple[int, int, str, str, str]


@dataclass
class Day:
    """One UTC day: its calls in order of time, as (microseconds since 1970, sample)."""

    number: int
    calls: list[tuple[int, Sample]] = field(default_factory=list)


class Inventor:
    def __init__(self, seed: int, keys: list[Key], prices: pricing.PriceBook, events: int, now: datetime) -> None:
        self.chosen = random.Random(seed)
        self.keys, self.prices, self.events, self.now = keys, prices, events, now
        self.places: list[Place] = []
        self._place_of: dict[Place, int] = {}
        self._pools: dict[tuple[int, str, int | None], list[Sample]] = {}

    def days(self) -> Iterator[Day]:
        """The last is today, up to `now`."""
        today = (self.now - ledger.EPOCH).days
        numbers = range(today - DAYS + 1, today + 1)
        weights = [self._weight(number, place / DAYS) for place, number in enumerate(numbers)]
        for number, weight, place in zip(numbers, weights, range(DAYS), strict=True):
            yield self._day(number, round(self.events * weight / sum(weights)), place / DAYS)

    def _weight(self, number: int, share: float) -> float:
        weekday = (number + 3) % 7
        return WEEKDAYS[weekday] * (0.7 + 0.6 * share) * self.chosen.lognormvariate(0, 0.06)

    def _day(self, number: int, expected: int, share: float) -> Day:
        day = Day(number)
        until_us = (self.now - ledger.EPOCH) // timedelta(microseconds=1)
        slots = [HOURS[slot // 4] for slot in range(SLOTS_A_DAY)]
        for key in self.keys:
            count = round(expected * key.share)
            weights = [start + (end - start) * share for _, start, end in key.models]
            models = self.chosen.choices([name for name, _, _ in key.models], weights, k=count)
            starts = self.chosen.choices(range(SLOTS_A_DAY), slots, k=count)
            for model, slot in zip(models, starts, strict=True):
                at_us = (number * SLOTS_A_DAY + slot) * SLOT_US + int(self.chosen.random() * SLOT_US)
                if at_us < until_us:
                    pool = self._pool(key, model, number)
                    day.calls.append((at_us, pool[int(self.chosen.random() * SAMPLES)]))
        day.calls.sort(key=lambda call: call[0])
        return day

    def _pool(self, key: Key, model: str, day: int) -> list[Sample]:
        """Made again when the price changes."""
        started_at = ledger.EPOCH + timedelta(days=day)
        found = self.prices.find("openai", model, "", started_at)
        name = (key.id, model, found[0] if found else None)
        if name not in self._pools:
            maker = _Maker(self.chosen, key, model, started_at)
            self._pools[name] = [self._sample(maker.call()) for _ in range(SAMPLES)]
        return self._pools[name]

    def _sample(self, entry: ledger.Entry) -> Sample:
        bill = ledger.bill(entry, self.prices)
        row = dict(zip(ledger.EVENT_COLUMNS, ledger._event_row(bill), strict=True))
        tail = tuple(row[name] for name in TAIL_COLUMNS)
        place = (entry.team_id, entry.key_id, entry.served_model, entry.provider, entry.service_tier)
        if place not in self._place_of:
            self._place_of[place] = len(self.places)
            self.places.append(place)
        number, measures = self._place_of[place], ledger.measures_of(bill)
        latency, ttft = (
            ledger.bin_place(us) if us and entry.outcome == "ok" else None for us in (entry.latency_us, entry.ttft_us)
        )
        attempts = tuple(ledger._attempt_rows(bill, self.prices)) if entry.attempts else ()
        return Sample(
            tail,
            "\t".join(copy_text(value) for value in tail),
            measures,
            number,
            (number, latency, ttft),
            ledger._minute_measures(entry),
            attempts,
        )


TAIL_COLUMNS = tuple(name for name in ledger.EVENT_COLUMNS if name not in ("id", "started_at"))
MEASURE_COUNT = len(MEASURES)


def copy_text(value: Any) -> str:
    """As COPY reads it."""
    if value is None:
        return r"\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


class _Maker:
    """Calls of one key to one model."""

    def __init__(self, chosen: random.Random, key: Key, model: str, started_at: datetime) -> None:
        self.chosen, self.key, self.model, self.started_at = chosen, key, model, started_at
        self.provider, self.prompt, self.said, self.speed = MODELS[model]

    def call(self) -> ledger.Entry:
        fate = self.chosen.random()
        entry = ledger.Entry(
            id=uuid.uuid4().bytes,
            started_us=(self.started_at - ledger.EPOCH) // timedelta(microseconds=1),
            team_id=self.key.team_id,
            key_id=self.key.id,
            endpoint="chat.completions" if self.said else "embeddings",
            requested_model=self.model,
            served_model=self.model,
            status=200,
            outcome="ok",
            provider=self.provider,
            price_book="openai",
            upstream_model=self.model,
            streamed=bool(self.said) and self.chosen.random() < 0.6,
            end_user=f"user-{self.chosen.randrange(500)}" if self.chosen.random() < 0.3 else "",
        )
        if fate < 0.012:
            return self._refused(entry)
        if fate < 0.02:
            return self._failed(entry)
        return self._answered(entry, fate)

    def _refused(self, entry: ledger.Entry) -> ledger.Entry:
        entry.status, entry.outcome, entry.error_code = 429, "refused", "rate_limit_exceeded"
        entry.provider = entry.price_book = entry.upstream_model = ""
        entry.latency_us = self.chosen.randrange(200, 900)
        entry.refusal = {
            "scope": "team", "limit_name": "requests", "limit": 300, "used": 300, "asked": 1, "left": 0,
            "retry_after_ms": self.chosen.randrange(40, 900), "never_fits": False,
        }  # fmt: skip
        return entry

    def _failed(self, entry: ledger.Entry) -> ledger.Entry:
        entry.status, entry.error_code = self.chosen.choice(FAULTS)
        entry.outcome, entry.tokens = "upstream_error", frames.Tokens(0, 0, 0, 0, 0, 0, 0)
        entry.latency_us = self._around(900_000, 0.7)
        return entry

    def _answered(self, entry: ledger.Entry, fate: float) -> ledger.Entry:
        entry.tokens, entry.origin, entry.finish_reason = self._tokens(), "provider", "stop" if self.said else ""
        entry.service_tier = "default" if self.provider == "OpenAI" and self.said else ""
        entry.upstream_request_id = f"req_{self.chosen.getrandbits(128):032x}"
        first_us = self._around(450_000, 0.4)
        entry.ttft_us = first_us if entry.streamed else None
        spoken = entry.tokens.completion / self.speed if self.speed else 0
        entry.latency_us = first_us + round(spoken * 1_000_000)
        if entry.streamed and fate > 0.99:
            entry.status, entry.outcome, entry.origin = 499, "client_abort", "partial"
        elif fate > 0.975 and entry.streamed:
            entry.origin = "counted"
        elif fate < 0.025:
            entry.attempts = [
                self._attempt(503, "upstream_503", frames.Tokens(0, 0, 0, 0, 0, 0, 0), 600_000),
                self._attempt(200, "", entry.tokens, entry.latency_us),
            ]
        return entry

    def _attempt(self, status: int, error: str, tokens: frames.Tokens, latency_us: int) -> frames.Attempt:
        return frames.Attempt(
            self.model, self.model, self.provider, "openai", status, error, latency_us, tokens=tokens, origin="provider"
        )

    def _tokens(self) -> frames.Tokens:
        prompt = self._around(self.prompt, 0.7)
        cached = int(prompt * self.chosen.uniform(0.4, 0.9)) // 128 * 128 if self.chosen.random() < 0.4 else 0
        if not self.said:
            return frames.Tokens(prompt, 0, 0, 0, 0, 0, 0)
        said = self._around(self.said, 0.6)
        thought = round(said * self.chosen.uniform(0.2, 0.7)) if self.model[0] == "o" or "-5" in self.model else 0
        return frames.Tokens(prompt - cached, cached, 0, 0, said, thought, 0)

    def _around(self, median: int, spread: float) -> int:
        return max(1, round(self.chosen.lognormvariate(math.log(median), spread)))


def id_text(at_us: int, number: int, chosen: random.Random) -> str:
    """A UUIDv7 with the time of the call, in hexadecimal."""
    return f"{at_us // 1000:012x}7{number & 0xFFF:03x}8{chosen.getrandbits(60):015x}"


def midnight(day: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
