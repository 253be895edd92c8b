"""Requests, tokens and concurrency by GCRA, reserved before a call and settled after it. In memory: one gateway worker.

A bucket's debt is kept in units of 1 / (60 * 10**9) of a request or token, so that it is an integer at every
nanosecond: it shrinks by
`limit` units a nanosecond, and a full bucket's worth is `limit * WINDOW_NS`. Nothing is ever rounded, so
`retry_after_ms` is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from usage.headroom import Gauge, LimitName

WINDOW_NS = 60_000_000_000
# A place frees when some call ends, and nobody knows when: the least that SDKs wait anyway.
CONCURRENCY_RETRY_NS = 1_000_000_000
PACE_SLOT_NS = 5_000_000_000
PACE_SLOTS = 12
# Who filled a window is told of so many keys, and looked up no more often than this.
MOST_FILLED_BY = 3
FILLED_FOR_NS = 1_000_000_000

ScopeKind = Literal["team", "key"]
Clock = Callable[[], int]


class Filled(NamedTuple):
    """What the last minute of a limit went to: the keys that took most, as (id, amount), and the sum of all keys."""

    keys: tuple[tuple[int, int], ...]
    total: int


class NoHeadroom(Exception):
    """The call does not fit now, or (`never_fits`) never will. All numbers are of the tightest limit."""

    def __init__(
        self, scope: Scope, limit_name: LimitName, limit: int, used: int, asked: int, wait_ns: int, never_fits: bool
    ) -> None:
        super().__init__(limit_name)
        self.scope, self.limit_name, self.limit = scope, limit_name, limit
        self.used, self.asked, self.wait_ns, self.never_fits = used, asked, wait_ns, never_fits
        # Of the call; limits know nothing of models, but the message names it.
        self.model = ""
        # Which keys filled the window: set by the limiter, which knows them.
        self.filled: Filled = Filled((), 0)

    @property
    def wait_ms(self) -> int:
        """Rounded up: the same call sent after that time is admitted if nothing else came in between."""
        return -(-self.wait_ns // 1_000_000)


class Bucket:
    """One GCRA limit."""

    __slots__ = ("_at_ns", "_debt", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._debt = 0
        self._at_ns = 0

    def debt(self, now_ns: int) -> int:
        """As of now. Changes nothing, so that pages may look from other threads. A clock that steps back adds no
        debt."""
        left = self._debt - max(0, now_ns - self._at_ns) * self.limit
        return left if left > 0 else 0

    def used(self, now_ns: int) -> int:
        return -(-self.debt(now_ns) // WINDOW_NS)

    def wait_ns(self, amount: int, now_ns: int) -> int:
        """0 when `amount` fits now, else the time until it does."""
        over = self.debt(now_ns) + amount * WINDOW_NS - self.limit * WINDOW_NS
        return -(-over // self.limit) if over > 0 else 0

    def take(self, amount: int, now_ns: int) -> None:
        """After `wait_ns` said 0; a negative amount is given back. Settling may take past the limit: the debt is then
        worked off before the next call."""
        self._debt = max(0, self.debt(now_ns) + amount * WINDOW_NS)
        self._at_ns = max(self._at_ns, now_ns)

    def changed_to(self, limit: int, now_ns: int) -> Bucket:
        """The same use under another limit: worked off at the old pace until now, and never more than a full bucket."""
        changed = Bucket(limit)
        left = self._debt - max(0, now_ns - self._at_ns) * self.limit
        changed._debt, changed._at_ns = min(max(0, left), limit * WINDOW_NS), now_ns
        return changed

    def ns_to_full(self, now_ns: int) -> int:
        return -(-self.debt(now_ns) // self.limit)


class Pace:
    """What was taken in the last minute, in slots of five seconds. Looking changes nothing."""

    __slots__ = ("_amounts", "_stamps")

    def __init__(self) -> None:
        self._stamps = [0] * PACE_SLOTS
        self._amounts = [0] * PACE_SLOTS

    def add(self, amount: int, now_ns: int) -> None:
        stamp = now_ns // PACE_SLOT_NS
        place = stamp % PACE_SLOTS
        if self._stamps[place] != stamp:
            self._stamps[place], self._amounts[place] = stamp, 0
        self._amounts[place] += amount

    def a_second(self, now_ns: int) -> float:
        oldest = now_ns // PACE_SLOT_NS - PACE_SLOTS
        return sum(amount for stamp, amount in zip(self._stamps, self._amounts, strict=True) if stamp > oldest) / 60


class Scope:
    """The limits of one team, or of one key: what is checked together. A limit of None is no limit."""

    __slots__ = (
        "concurrent",
        "id",
        "in_flight",
        "kind",
        "pace_requests",
        "pace_tokens",
        "requests",
        "reserved_tokens",
        "tokens",
        "used_at_ns",
    )

    def __init__(self, kind: ScopeKind, id_: int) -> None:
        self.kind: ScopeKind = kind
        self.id = id_
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.concurrent: int | None = None
        self.in_flight = 0
        self.reserved_tokens = 0
        # When a call last began or ended; of an idle key nothing has to be added up.
        self.used_at_ns = -WINDOW_NS
        self.pace_requests, self.pace_tokens = Pace(), Pace()

    def set_limits(self, requests: int | None, tokens: int | None, concurrent: int | None, now_ns: int) -> None:
        """A changed limit keeps what was used: raising it must not forgive, lowering it must not punish."""
        self.requests = _bucket(self.requests, requests, now_ns)
        self.tokens = _bucket(self.tokens, tokens, now_ns)
        self.concurrent = concurrent

    def check(self, tokens: int, now_ns: int) -> NoHeadroom | None:
        """The tightest limit this call does not fit, or None."""
        refusals = []
        for name, bucket, asked in (("requests", self.requests, 1), ("tokens", self.tokens, tokens)):
            if bucket is not None and (wait := bucket.wait_ns(asked, now_ns)):
                never = asked > bucket.limit
                refusals.append(NoHeadroom(self, name, bucket.limit, bucket.used(now_ns), asked, wait, never))  # type: ignore[arg-type]
        if self.concurrent is not None and self.in_flight >= self.concurrent:
            refusals.append(
                NoHeadroom(self, "concurrent", self.concurrent, self.in_flight, 1, CONCURRENCY_RETRY_NS, False)
            )
        return max(refusals, key=_tightness) if refusals else None

    def take(self, tokens: int, now_ns: int) -> None:
        if self.requests is not None:
            self.requests.take(1, now_ns)
        if self.tokens is not None:
            self.tokens.take(tokens, now_ns)
        self.in_flight += 1
        self.reserved_tokens += tokens
        self.used_at_ns = now_ns
        self.pace_requests.add(1, now_ns)

    def settle(self, reserved: int, used: int, has_drained: bool, now_ns: int) -> None:
        self.in_flight -= 1
        self.reserved_tokens -= reserved
        self.used_at_ns = now_ns
        self.pace_tokens.add(used, now_ns)
        if self.tokens is not None:
            owed = used - reserved
            self.tokens.take(max(0, owed) if has_drained else owed, now_ns)

    def taken(self, name: LimitName, now_ns: int) -> int:
        """In the last minute; of tokens also what calls in flight hold, of places only those."""
        if name == "concurrent" or (not self.in_flight and now_ns - self.used_at_ns >= WINDOW_NS):
            return self.in_flight
        if name == "requests":
            return round(self.pace_requests.a_second(now_ns) * 60)
        return round(self.pace_tokens.a_second(now_ns) * 60) + self.reserved_tokens

    def gauges(self, now_ns: int) -> list[Gauge]:
        """The key scope tells only limits of its own; the team scope tells all three, unlimited ones too."""
        gauges = []
        for name, bucket, reserved, pace in (
            ("requests", self.requests, 0, self.pace_requests),
            ("tokens", self.tokens, self.reserved_tokens, self.pace_tokens),
        ):
            if bucket is not None:
                gauges.append(_bucket_gauge(self.kind, name, bucket, reserved, pace, now_ns))  # type: ignore[arg-type]
            elif self.kind == "team":
                used = round(pace.a_second(now_ns) * 60)
                gauges.append(Gauge(self.kind, name, None, used + reserved, reserved, None, 0, None))  # type: ignore[arg-type]
        if self.concurrent is not None or self.kind == "team":
            left = None if self.concurrent is None else max(0, self.concurrent - self.in_flight)
            gauges.append(Gauge(self.kind, "concurrent", self.concurrent, self.in_flight, 0, left, 0, None))
        return gauges


class Hold(NamedTuple):
    """What a call has reserved in each scope."""

    scopes: tuple[Scope, ...]
    tokens: int
    since_ns: int

    def settle(self, used_tokens: int, now_ns: int) -> None:
        """Give back what was not used, at once. The caller sees to it that this happens exactly once."""
        # Any reservation has drained after a window: giving it back then would be a second burst.
        has_drained = now_ns - self.since_ns >= WINDOW_NS
        for scope in self.scopes:
            scope.settle(self.tokens, used_tokens, has_drained, now_ns)


class Limiter:
    """All scopes of this process. Scopes are made and changed by the directory's thread; all else is the event
    loop's."""

    def __init__(self, clock_ns: Clock) -> None:
        self._clock_ns = clock_ns
        self._scopes: dict[tuple[ScopeKind, int], Scope] = {}
        self._keys_of: dict[int, dict[int, Scope]] = {}
        self._filled: dict[tuple[int, LimitName], tuple[int, Filled]] = {}

    def scope(
        self,
        kind: ScopeKind,
        id_: int,
        requests: int | None,
        tokens: int | None,
        concurrent: int | None,
        of_team: int | None = None,
    ) -> Scope:
        """The one scope object of this team or key, with these limits from now on. A key says whose it is: then a
        refusal of its team can say what each key took."""
        scope = self._scopes.setdefault((kind, id_), Scope(kind, id_))
        scope.set_limits(requests, tokens, concurrent, self._clock_ns())
        if of_team is not None:
            self._keys_of.setdefault(of_team, {})[id_] = scope
        return scope

    def reserve(self, scopes: tuple[Scope, ...], tokens: int, now_ns: int) -> Hold:
        """All scopes or none. Raises NoHeadroom with the tightest limit."""
        tightest: NoHeadroom | None = None
        for scope in scopes:
            refusal = scope.check(tokens, now_ns)
            if refusal is not None and (tightest is None or _tightness(refusal) > _tightness(tightest)):
                tightest = refusal
        if tightest is not None:
            tightest.filled = self._filled_by(tightest.scope, tightest.limit_name, now_ns)
            raise tightest
        for scope in scopes:
            scope.take(tokens, now_ns)
        return Hold(scopes, tokens, now_ns)

    def team_gauges(self, team_id: int) -> list[Gauge]:
        return self._gauges("team", team_id)

    def key_gauges(self, key_id: int) -> list[Gauge]:
        return self._gauges("key", key_id)

    def _filled_by(self, scope: Scope, name: LimitName, now_ns: int) -> Filled:
        """Looked up once a second: a team that is refused a thousand times in one has the same answer each time."""
        if scope.kind == "key":
            taken = scope.taken(name, now_ns)
            return Filled(((scope.id, taken),), taken)
        at_ns, filled = self._filled.get((scope.id, name), (-FILLED_FOR_NS, Filled((), 0)))
        if now_ns - at_ns >= FILLED_FOR_NS:
            # A copy: the directory's thread may add a key meanwhile.
            keys = list(self._keys_of.get(scope.id, {}).values())
            taken_by = sorted(((key.taken(name, now_ns), key.id) for key in keys), reverse=True)
            leaders = tuple((id_, taken) for taken, id_ in taken_by[:MOST_FILLED_BY] if taken)
            filled = Filled(leaders, sum(taken for taken, _id in taken_by))
            self._filled[scope.id, name] = now_ns, filled
        return filled

    def _gauges(self, kind: ScopeKind, id_: int) -> list[Gauge]:
        scope = self._scopes.get((kind, id_))
        return scope.gauges(self._clock_ns()) if scope is not None else []


def go_duration(duration_ns: int) -> str:
    """As Go prints it, because go-openai parses it: 6ms, 8.64s, 1m30s. Milliseconds, rounded up; never days."""
    total_ms = -(-duration_ns // 1_000_000)
    if total_ms < 1_000:
        return f"{total_ms}ms"
    minutes, ms = divmod(total_ms, 60_000)
    seconds = f"{ms // 1_000}.{ms % 1_000:03}".rstrip("0").rstrip(".") + "s"
    if minutes < 60:
        return f"{minutes}m{seconds}" if minutes else seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}"


def headers(scopes: tuple[Scope, ...], now_ns: int) -> list[tuple[bytes, bytes]]:
    """The six `x-ratelimit-*` headers, each kind of the scope with the least left. Nothing is said of a limit that
    is not there."""
    told: list[tuple[bytes, bytes]] = []
    for name, slot in ((b"requests", "requests"), (b"tokens", "tokens")):
        tightest: tuple[int, Bucket] | None = None
        for scope in scopes:
            bucket: Bucket | None = getattr(scope, slot)
            if bucket is not None:
                left = max(0, bucket.limit - bucket.used(now_ns))
                if tightest is None or left < tightest[0]:
                    tightest = (left, bucket)
        if tightest is not None:
            left, bucket = tightest
            told.append((b"x-ratelimit-limit-" + name, b"%d" % bucket.limit))
            told.append((b"x-ratelimit-remaining-" + name, b"%d" % left))
            told.append((b"x-ratelimit-reset-" + name, go_duration(bucket.ns_to_full(now_ns)).encode()))
    return told


def _bucket(present: Bucket | None, limit: int | None, now_ns: int) -> Bucket | None:
    """A changed limit is a new bucket, so that the event loop never sees one half changed."""
    if limit is None:
        return None
    if present is None:
        return Bucket(limit)
    return present if present.limit == limit else present.changed_to(limit, now_ns)


def _bucket_gauge(kind: ScopeKind, name: LimitName, bucket: Bucket, reserved: int, pace: Pace, now_ns: int) -> Gauge:
    used = bucket.used(now_ns)
    remaining = max(0, bucket.limit - used)
    # The bucket refills while it is used: only what comes in faster than that ever fills it.
    net_a_second = pace.a_second(now_ns) - bucket.limit / 60
    s_to_refusal = remaining / net_a_second if net_a_second > 0 else None
    ms_to_full = -(-bucket.ns_to_full(now_ns) // 1_000_000)
    return Gauge(kind, name, bucket.limit, used, min(reserved, used), remaining, ms_to_full, s_to_refusal)


def _tightness(refusal: NoHeadroom) -> tuple[bool, int]:
    return refusal.never_fits, refusal.wait_ns
