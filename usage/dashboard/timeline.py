"""What happened during one call, as bars over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from usage.dashboard import formats
from usage.models import UsageAttempt, UsageEvent

MOST_TICKS = 6
# A note that would begin further right than this ends where its bar ends.
NOTE_TURNS_AT = 0.55
FAILS_FROM = 400
# The caller hung up: the provider had not failed.
HUNG_UP = 499


@dataclass(frozen=True)
class Bar:
    """One try at a provider. Times are from the start of the call; `first_token_us` is None without a stream."""

    model: str
    provider: str
    answer: str
    start_us: int
    end_us: int
    span_us: int
    first_token_us: int | None = None
    is_failed: bool = False

    @property
    def x(self) -> str:
        return self._at(self.start_us)

    @property
    def split(self) -> str:
        return self._at(self.first_token_us or self.start_us)

    @property
    def waiting_width(self) -> str:
        return self._wide((self.first_token_us or self.start_us) - self.start_us)

    @property
    def answer_width(self) -> str:
        return self._wide(self.end_us - (self.first_token_us or self.start_us))

    @property
    def note(self) -> str:
        if self.first_token_us is None:
            return formats.duration(self.end_us - self.start_us)
        return gettext("%(wait)s to the first token, %(rest)s of answer") % {
            "wait": formats.duration(self.first_token_us - self.start_us),
            "rest": formats.duration(self.end_us - self.first_token_us),
        }

    @property
    def note_is_turned(self) -> bool:
        return self.start_us > NOTE_TURNS_AT * self.span_us

    @property
    def note_x(self) -> str:
        return self._at(self.end_us if self.note_is_turned else self.start_us)

    def _at(self, us: int) -> str:
        return f"{100 * us / self.span_us:.2f}%"

    def _wide(self, us: int) -> str:
        """What took any time at all is at least a sliver."""
        return f"{max(0.4, 100 * us / self.span_us):.2f}%" if us > 0 else "0%"


@dataclass(frozen=True)
class Tick:
    x: str
    label: str


@dataclass(frozen=True)
class Timeline:
    bars: Sequence[Bar]
    ticks: Sequence[Tick]

    @property
    def has_failed(self) -> bool:
        return any(bar.is_failed for bar in self.bars)

    @property
    def has_answer(self) -> bool:
        return not all(bar.is_failed for bar in self.bars)

    @property
    def has_first_token(self) -> bool:
        return any(bar.first_token_us is not None for bar in self.bars)


def of_call(event: UsageEvent, attempts: Sequence[UsageAttempt]) -> Timeline | None:
    """None for a call that was not sent on, or whose time nobody measured."""
    if not event.provider or not event.latency_us:
        return None
    span_us = max(event.latency_us, sum(attempt.latency_us for attempt in attempts))
    bars = list(_tries(event, attempts, span_us)) if attempts else [_only_try(event, span_us)]
    return Timeline(bars, _ticks(span_us))


def _only_try(event: UsageEvent, span_us: int) -> Bar:
    is_failed = _is_failed(event.status)
    return Bar(
        event.served_model or event.requested_model,
        event.provider,
        _answer(event.status, event.error_code),
        0,
        span_us,
        span_us,
        None if is_failed else _within(event.ttft_us, 0, span_us),
        is_failed,
    )


def _tries(event: UsageEvent, attempts: Sequence[UsageAttempt], span_us: int) -> Iterator[Bar]:
    """One after the other. The last ends with the call: what is left over before it was spent waiting to try again."""
    end_us = 0
    for position, attempt in enumerate(attempts, start=1):
        is_last = position == len(attempts)
        start_us = span_us - attempt.latency_us if is_last else end_us
        end_us = start_us + attempt.latency_us
        is_failed = _is_failed(attempt.status)
        yield Bar(
            attempt.model,
            attempt.provider,
            _answer(attempt.status, attempt.error_code),
            start_us,
            end_us,
            span_us,
            _within(event.ttft_us, start_us, end_us) if is_last and not is_failed else None,
            is_failed,
        )


def _within(first_token_us: int | None, start_us: int, end_us: int) -> int | None:
    return first_token_us if first_token_us is not None and start_us < first_token_us <= end_us else None


def _answer(status: int | None, error_code: str) -> str:
    return f"{status or formats.DASH} {error_code}".strip()


def _is_failed(status: int | None) -> bool:
    return status is None or (status >= FAILS_FROM and status != HUNG_UP)


def _ticks(span_us: int) -> list[Tick]:
    """From zero, at round steps: 1, 2 or 5 times a power of ten."""
    step_us = next(
        step for power in range(12) for factor in (1, 2, 5) if span_us / (step := factor * 10**power) < MOST_TICKS
    )
    return [Tick(f"{100 * at / span_us:.2f}%", _tick_label(at, step_us)) for at in range(0, span_us + 1, step_us)]


def _tick_label(us: int, step_us: int) -> str:
    return f"{us / 1_000_000:g} s" if step_us >= 100_000 or not us else f"{us / 1000:g} ms"
