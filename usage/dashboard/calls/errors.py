"""What went wrong with a call, in a sentence."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage.models import Outcome, UsageEvent

# By the error code on the event.
SENTENCES: dict[str, Promise] = {
    "gateway_died": _("The gateway was stopped while this call was under way; the caller got no complete answer."),
    "gateway_error": _("The gateway itself failed. Its log says more."),
    "upstream_timeout": _("The provider did not answer in time."),
    "upstream_unreachable": _("No connection to the provider could be made."),
    "upstream_garbled": _("The provider answered with something that is not an answer."),
    "upstream_broke_off": _("The provider broke off in the middle of its answer; the caller was told so."),
    "upstream_error": _("The provider sent an error in the middle of its answer; the caller was told so."),
    "upstream_too_large": _("The provider's answer was larger than the gateway takes."),
    "upstream_refused_credentials": _("The provider refused this gateway's credentials."),
    "upstream_401": _("The provider refused this gateway's credentials."),
    "upstream_403": _("The provider refused this gateway's credentials."),
    "upstream_429": _("The provider's own rate limit was reached. No limit of this instance refused the call."),
    "upstream_400": _("The provider did not accept the request as it was."),
    "upstream_404": _("The provider does not know the model under the name this route gives it."),
    "context_length_exceeded": _("Prompt and answer together are longer than the model can take."),
    "rate_limit_exceeded": _("The call did not fit into a limit, so it was not sent on."),
}


def sentence(call: UsageEvent) -> str:
    """Empty when nothing went wrong."""
    if call.outcome == Outcome.OK:
        return ""
    if known := SENTENCES.get(call.error_code):
        return str(known)
    if call.outcome == Outcome.CLIENT_ABORT:
        return gettext(
            "The caller closed the connection before the answer was complete. What was delivered is charged."
        )
    if call.outcome == Outcome.INTERRUPTED:
        return str(SENTENCES["gateway_died"])
    if call.outcome == Outcome.UPSTREAM_ERROR and call.error_code.startswith("upstream_5"):
        return gettext("The provider failed with its own server error.")
    if call.outcome == Outcome.UPSTREAM_ERROR:
        return gettext("The provider did not give a complete answer.")
    return gettext("The call was refused before it was sent on.")
