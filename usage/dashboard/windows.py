"""Which keys filled the window of a limit when it refused a call, as the parts of a bar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage.dashboard import formats

OTHERS = "ko"
# Tones of keys, the one that took most first.
TONES = ("k1", "k2", "k3", "k4")


@dataclass(frozen=True)
class Part:
    """What one key took, of all that was taken; `key_id` None is all other keys together."""

    key_id: int | None
    name: str
    amount: int
    before: int
    total: int
    tone: str

    @property
    def x(self) -> str:
        return f"{100 * self.before / self.total:.2f}%"

    @property
    def width(self) -> str:
        return f"{100 * self.amount / self.total:.2f}%"

    @property
    def percent(self) -> str:
        return formats.percent(self.amount / self.total).replace(".0%", "%")


def names_of(key_ids: Iterable[int], standing: Standing) -> dict[int, str]:
    """Of the keys this reader may see. At most one query."""
    wanted = set(key_ids)
    if standing.team is None or not standing.sees_keys or not wanted:
        return {}
    keys = ApiKey.objects.filter(team=standing.team, pk__in=wanted)
    if not standing.may(Action.MANAGE_ALL_KEYS):
        keys = keys.filter(created_by=standing.user)
    return dict(keys.values_list("pk", "name"))


def keys_in(refusals: Iterable[Mapping[str, Any] | None]) -> set[int]:
    return {key_id for refusal in refusals if refusal for key_id, _amount in refusal.get("filled", ())}


def parts(
    refusal: Mapping[str, Any] | None, names: Mapping[int, str], tones: Mapping[int, str] | None = None
) -> Sequence[Part]:
    """Empty where nobody wrote it down: events of before it was kept."""
    filled, total = ((refusal or {}).get("filled") or [], (refusal or {}).get("filled_total") or 0)
    known = [(key_id, amount) for key_id, amount in filled if key_id in names and amount > 0]
    total = max(total, sum(amount for _id, amount in known))
    made: list[Part] = []
    before = 0
    for place, (key_id, amount) in enumerate(known):
        tone = (tones or {}).get(key_id) or (OTHERS if tones else TONES[place % len(TONES)])
        made.append(Part(key_id, names[key_id], amount, before, total, tone))
        before += amount
    if before < total:
        made.append(Part(None, gettext("other keys"), total - before, before, total, OTHERS))
    return made
