"""The invented calls: a function of a seed, the present moment and the keys' ids. No database, no clock."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from usage.catalog_models import KNOWN
from usage.demo.cast import EMBEDDING, GROUPS, HOURS, MODELS, WEEKDAYS, Caller, Group
from usage.frames import Attempt, Final, Tokens

DAYS = 90
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Calls a day grow from 0.7 to 1.3 of what the cast says.
GROWTH = (0.7, 1.3)
# One afternoon a provider was down, so many days ago.
OUTAGE_DAYS_AGO, OUTAGE_HOURS = 23, (13, 15)
OUTAGE_PROVIDER = "OpenAI"
# A provider that failed charged nothing: known zeros, not unknown.
NOTHING = Tokens(0, 0, 0, 0, 0, 0, 0)
CATALOGUE = {known.name: known for known in KNOWN}
# Requests and tokens a minute, and places, of the tiers that have limits.
LIMITS = {"Basic": (60, 90_000, 10), "Pro": (300, 450_000, 40)}
FAULTS = (("upstream_500", 500), ("upstream_503", 503), ("upstream_timeout", 504), ("upstream_unreachable", 502))


class Ids(NamedTuple):
    """`secrets`: since when, and its id; each from its time on, and a few calls still send the one before."""

    team_id: int
    key_id: int
    secrets: tuple[tuple[datetime, int], ...] = ()

    def secret_at(self, moment: datetime, share: float) -> int:
        """`share` is the place of this call among all: the first tenth goes on as it did."""
        known = [secret_id for since, secret_id in self.secrets if since <= moment]
        if not known:
            return 0
        return known[-2] if len(known) > 1 and share < 0.1 else known[-1]


def calls(seed: int, now: datetime, ids: Mapping[tuple[str, str], Ids], days: int = DAYS) -> Iterator[Final]:
    """Day by day, each day in order of time, nothing after `now`. `ids` is by names of team and key."""
    for days_ago in range(days, -1, -1):
        entries = []
        for group in GROUPS:
            for caller in group.callers:
                own_seed = f"{seed}/{group.name}/{caller.name}/{days_ago}"
                colleagues = [ids[group.name, other.name].key_id for other in group.callers if not other.revoked_after]
                made = _Maker(own_seed, now, group, caller, ids[group.name, caller.name], colleagues)
                entries += made.of_day(days_ago, 1 - days_ago / days)
        yield from sorted(entries, key=lambda entry: entry.id)


class _Maker:
    """The calls of one key on one day."""

    def __init__(
        self, seed: str, now: datetime, group: Group, caller: Caller, ids: Ids, colleagues: Sequence[int]
    ) -> None:
        self.chosen = random.Random(seed)  # noqa: S311 - invented data, not a secret
        self.now, self.group, self.caller, self.ids, self.colleagues = now, group, caller, ids, colleagues
        self.zone = ZoneInfo(group.time_zone)

    def of_day(self, days_ago: int, share: float) -> list[Final]:
        """`share` of the whole span has gone by."""
        if self.caller.revoked_after is not None and share > self.caller.revoked_after:
            return []
        today = (self.now.astimezone(self.zone) - timedelta(days=days_ago)).date()
        growth = GROWTH[0] + (GROWTH[1] - GROWTH[0]) * share
        expected = self.caller.calls_a_day * growth * WEEKDAYS[self.caller.rhythm][today.weekday()]
        number = round(expected * self.chosen.lognormvariate(0, 0.12))
        moments = [self._moment(today) for _ in range(number)]
        return [self._call(moment, share) for moment in moments if moment < self.now]

    def _moment(self, today: date) -> datetime:
        (hour,) = self.chosen.choices(range(24), HOURS[self.caller.rhythm])
        within = timedelta(hours=hour, microseconds=self.chosen.randrange(3_600_000_000))
        return (datetime.combine(today, time(), self.zone) + within).astimezone(UTC)

    def _model(self, started_at: datetime, share: float) -> str:
        """One that could be had at the time."""
        there = [mix for mix in self.caller.models if _is_sold(mix.model, started_at.date())] or self.caller.models
        weights = [mix.at_start + (mix.at_end - mix.at_start) * share + 0.01 for mix in there]
        return self.chosen.choices([mix.model for mix in there], weights)[0]

    def _call(self, started_at: datetime, share: float) -> Final:
        model = self._model(started_at, share)
        served = MODELS[model]
        entry = Final(
            id=self._id(started_at),
            started_us=(started_at - EPOCH) // timedelta(microseconds=1),
            team_id=self.ids.team_id,
            key_id=self.ids.key_id,
            endpoint="embeddings" if model == EMBEDDING else "chat.completions",
            requested_model=model,
            served_model=model,
            status=200,
            outcome="ok",
            provider=served.provider,
            price_book=served.price_book,
            upstream_model=model,
            streamed=self.chosen.random() < self.caller.streamed,
            metadata={"feature": self.caller.feature} if self.caller.feature else {},
            sdk_retry_count=int(self.chosen.random() < 0.01),
            secret_id=self.ids.secret_at(started_at, started_at.microsecond / 1_000_000),
        )
        if self.chosen.random() < self.caller.refused:
            return self._refused(entry)
        if self.chosen.random() < (0.4 if self._is_outage(started_at, served.provider) else 0.006):
            return self._failed(entry)
        return self._answered(entry)

    def _refused(self, entry: Final) -> Final:
        entry.status, entry.outcome, entry.error_code = 429, "refused", "rate_limit_exceeded"
        entry.provider = entry.price_book = entry.upstream_model = ""
        entry.latency_us = self.chosen.randrange(200, 900)
        entry.refusal = self._refusal()
        return entry

    def _refusal(self) -> dict[str, Any]:
        """As the gateway writes it. Enterprise, which has no limits of its own, is refused by its keys' limits."""
        requests, tokens, places = LIMITS.get(self.group.tier, LIMITS["Pro"])
        name, limit = self.chosen.choices(
            [("requests", requests), ("tokens", tokens), ("concurrent", places)], [3, 5, 1]
        )[0]
        asked = self._around(self.caller.prompt_tokens, 0.7) + 4_096 if name == "tokens" else 1
        left = self.chosen.randrange(min(asked, limit)) if name == "tokens" else 0
        wait_ms = 1_000 if name == "concurrent" else 1 + (asked - left) * 60_000 // limit
        scope = "key" if self.group.tier not in LIMITS else "team"
        filled = [[self.ids.key_id, limit - left]] if scope == "key" else self._filled(limit - left)
        return {
            "scope": scope,
            "limit_name": name,
            "limit": limit,
            "used": limit - left,
            "asked": asked,
            "left": left,
            "retry_after_ms": wait_ms,
            "never_fits": False,
            "filled": filled,
            "filled_total": limit - left,
        }

    def _filled(self, used: int) -> list[list[int]]:
        """The team's keys in random parts, the one that was refused first."""
        others = [key_id for key_id in self.colleagues if key_id != self.ids.key_id][:2]
        parts, rest = [], used
        for key_id in (self.ids.key_id, *others):
            part = round(rest * self.chosen.uniform(0.45, 0.9)) if key_id != (others or [self.ids.key_id])[-1] else rest
            parts.append([key_id, part])
            rest -= part
        return sorted((part for part in parts if part[1]), key=lambda part: -part[1])

    def _failed(self, entry: Final) -> Final:
        entry.error_code, entry.status = self.chosen.choice(FAULTS)
        entry.outcome, entry.tokens = "upstream_error", NOTHING
        entry.latency_us = self._around(30_000_000 if entry.status == 504 else 900_000, 0.5)
        return entry

    def _answered(self, entry: Final) -> Final:
        """The tokens and times of a call that reached a model; a few of them end early."""
        entry.tokens, entry.origin = self._tokens(entry.served_model), "provider"
        entry.finish_reason = self.chosen.choices(["stop", "length", "tool_calls"], [88, 4, 8])[0]
        entry.service_tier = self.caller.service_tier if entry.provider == "OpenAI" else ""
        entry.upstream_request_id = f"req_{self.chosen.getrandbits(128):032x}"
        fate = self.chosen.random()
        if entry.endpoint == "embeddings":
            entry.finish_reason = entry.service_tier = ""
        elif entry.streamed and fate < 0.025:
            self._cut_short(entry)
        elif entry.streamed and fate < 0.05:
            entry.origin = "counted"
        elif fate > 0.9997:
            entry.status, entry.outcome, entry.origin, entry.error_code = None, "interrupted", "partial", "gateway_died"
            entry.tokens, entry.finish_reason = Tokens(input=entry.tokens.prompt), ""
            return entry
        self._take_time(entry)
        if fate > 0.994 and fate < 0.9997 and entry.outcome == "ok" and len(self.caller.models) > 1:
            self._fall_back(entry)
        return entry

    def _cut_short(self, entry: Final) -> None:
        """The caller hung up somewhere in the answer; what was delivered was counted."""
        delivered = self.chosen.random()
        said = round((entry.tokens.output or 0) * delivered)
        entry.tokens = Tokens(entry.tokens.prompt, 0, 0, 0, said, 0, 0)
        entry.status, entry.outcome, entry.origin, entry.finish_reason = 499, "client_abort", "partial", ""

    def _take_time(self, entry: Final) -> None:
        served = MODELS[entry.served_model]
        first_us = self._around(served.first_token_ms * 1000, 0.35) + entry.tokens.prompt * 8
        speed = served.tokens_a_second * self.chosen.uniform(0.7, 1.25)
        rest_us = round(entry.tokens.completion / speed * 1_000_000) if speed else 0
        entry.ttft_us = first_us if entry.streamed else None
        entry.latency_us = first_us + rest_us

    def _fall_back(self, entry: Final) -> None:
        """The model that was asked for failed; the one that answered was next in `fallback_models`."""
        others = [mix.model for mix in self.caller.models if mix.model != entry.served_model]
        asked = self.chosen.choice(others)
        served, failed = MODELS[entry.served_model], MODELS[asked]
        spent_us = self._around(700_000, 0.4)
        took_us = entry.latency_us or 0
        entry.requested_model, entry.latency_us = asked, took_us + spent_us
        if entry.ttft_us is not None:
            # The caller waited for the failed try too.
            entry.ttft_us += spent_us
        entry.attempts = [
            Attempt(asked, asked, failed.provider, failed.price_book, 503, "upstream_503", spent_us, tokens=NOTHING),
            Attempt(
                entry.served_model,
                entry.upstream_model,
                served.provider,
                served.price_book,
                200,
                "",
                took_us,
                entry.upstream_request_id,
                entry.tokens,
                entry.origin,
            ),
        ]

    def _tokens(self, model: str) -> Tokens:
        prompt = self._around(self.caller.prompt_tokens, 0.7)
        # As providers cache: from 1,024 tokens on, in steps of 128.
        hit = prompt >= 1024 and self.chosen.random() < self.caller.cached
        cached = int(prompt * self.chosen.uniform(0.5, 0.9)) // 128 * 128 if hit else 0
        if model == EMBEDDING:
            return Tokens(prompt, 0, 0, 0, 0, 0, 0)
        said = self._around(self.caller.output_tokens, 0.6)
        thought = round(said * MODELS[model].thinks * self.chosen.uniform(0.3, 2.5))
        return Tokens(prompt - cached, cached, 0, 0, said, thought, 0)

    def _is_outage(self, moment: datetime, provider: str) -> bool:
        start = datetime.combine((self.now - timedelta(days=OUTAGE_DAYS_AGO)).date(), time(OUTAGE_HOURS[0]), UTC)
        lasted = timedelta(hours=OUTAGE_HOURS[1] - OUTAGE_HOURS[0])
        return provider == OUTAGE_PROVIDER and start <= moment < start + lasted

    def _around(self, median: int, spread: float) -> int:
        return max(1, round(self.chosen.lognormvariate(math.log(median), spread)))

    def _id(self, moment: datetime) -> bytes:
        """A UUIDv7 with the time of the call."""
        milliseconds = (moment - EPOCH) // timedelta(milliseconds=1)
        noise = self.chosen.getrandbits(74)
        value = milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & (1 << 62) - 1
        return value.to_bytes(16)


def _is_sold(model: str, day: date) -> bool:
    known = CATALOGUE[model]
    return known.released_on <= day and (known.shutdown_on is None or day < known.shutdown_on)
