"""What a look at a provider found, and what is wrong with an address, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage.destinations import Wrong

# The names that usage/provider_health.py keeps.
ERRORS: Mapping[str, Promise] = {
    "HTTP 401": _("it refused the key (HTTP 401)"),
    "HTTP 403": _("it refused the key (HTTP 403)"),
    "HTTP 404": _("nothing is at this address (HTTP 404): should it end in /v1?"),
    "HTTP 429": _("it asks to be left alone for a while (HTTP 429)"),
    "ConnectError": _("it cannot be reached"),
    "ConnectTimeout": _("it cannot be reached: no connection within 5 seconds"),
    "ReadTimeout": _("it did not answer within 5 seconds"),
    "TooSlow": _("it did not answer within 5 seconds"),
    "APITimeoutError": _("it did not answer within 5 seconds"),
    "TooLarge": _("its list of models is too long to be one"),
    "NoModelList": _("what it answers is no list of models"),
    "JSONDecodeError": _("what it answers is no list of models"),
    "RemoteProtocolError": _("what answers does not speak HTTP"),
    "SealBroken": _("its key cannot be read: was MEGADASH_SECRET_KEY changed?"),
    "BadDestination": _("its address is unknown, or in a private network that is not allowed"),
}

WRONG: Mapping[Wrong, Promise] = {
    Wrong.FORM: _("This is no address."),
    Wrong.SCHEME: _("The address must begin with https:// or http://."),
    Wrong.CREDENTIALS: _("An address must hold no user name and no password: they would be shown. Use the key."),
    Wrong.QUERY: _("Leave out everything from ? or # on."),
    Wrong.UNKNOWN_HOST: _("No host of the name %(detail)s is known."),
    Wrong.PRIVATE: _("%(detail)s is in a private network. An administrator can allow it in the settings."),
}


def failure(error: str) -> str:
    """Why a look found nothing, as the end of a sentence."""
    known = ERRORS.get(error)
    if known:
        return str(known)
    if error.startswith("HTTP 3"):
        return gettext("it redirects elsewhere (%(error)s), and redirects are not followed") % {"error": error}
    if error.startswith("HTTP "):
        return gettext("it answered %(error)s") % {"error": error}
    return gettext("it cannot be reached (%(error)s)") % {"error": error}
