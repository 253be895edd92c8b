"""One reader's look at the explorer: the address read, the question asked, the answer at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext

from accounts.policy import Standing
from usage.dashboard.explorer import address, words
from usage.dashboard.explorer.address import View
from usage.dashboard.explorer.place import Place
from usage.reports.explorer.answer import Answer, NotAnswered, ask
from usage.reports.explorer.question import Grain, Question, WhyNot, why_not

HOURS_IMPOSSIBLE = (WhyNot.TOO_LONG_FOR_HOURS, WhyNot.TOO_OLD_FOR_HOURS, WhyNot.PERCENTILE_BY_HOUR)


@dataclass(frozen=True)
class Look:
    """`notes` say what of the address was not followed, and why."""

    place: Place
    view: View
    notes: Sequence[str]
    now: datetime

    @property
    def question(self) -> Question:
        return address.question_of(self.view, self.place.today(self.now))

    @property
    def url(self) -> str:
        return self.place.url(self.view)

    def answer(self) -> tuple[Answer | None, WhyNot]:
        """None with the reason, where there is none."""
        try:
            return ask(self.place.scope, self.question, self.now, self.place.owner_id), WhyNot.ANSWERED
        except NotAnswered as error:
            return None, error.reason


def look(request: HttpRequest, standing: Standing) -> Look:
    place, now = Place.of(standing), timezone.now()
    asked = place.asked(request)
    view, notes = _possible(asked.view, place, now)
    if asked.ignored:
        left_out = gettext("Not understood in the address, and left out: %(what)s") % {"what": ", ".join(asked.ignored)}
        notes.append(left_out)
    return Look(place, view, notes, now)


def _possible(view: View, place: Place, now: datetime) -> tuple[View, list[str]]:
    """Days where there are no hours, and said so: a drag over last year's chart must not lead to an empty page."""
    if view.grain is not Grain.HOUR:
        return view, []
    today = place.today(now)
    reason = why_not(address.question_of(view, today), today, place.scope.is_instance)
    if reason not in HOURS_IMPOSSIBLE:
        return view, []
    return replace(view, grain=Grain.DAY), [f"{words.why_not_text(reason)} {gettext('Shown by day.')}"]
