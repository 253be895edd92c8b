"""The tables of the docs pages that follow from code: errors and roles.

The pages know nothing of the gateway, so the errors are told once more here; a test holds them to what it really says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.policy import ADMINISTRATOR, ALLOWED, Action

INVALID, SERVER, OVERLOADED = "invalid_request_error", "server_error", "service_unavailable_error"


@dataclass(frozen=True)
class ErrorRow:
    """`kinds` are the values of `type`; a code of "" is null. `is_retried`: by the SDKs that retry at all."""

    status: int
    kinds: tuple[str, ...]
    codes: tuple[str, ...]
    meaning: Promise
    remedy: Promise
    is_retried: bool = False


ERRORS = (
    ErrorRow(
        400,
        (INVALID,),
        ("",),
        _("The body is no JSON, names no model, or a value is out of its range."),
        _("Read the message; param names the field."),
    ),
    ErrorRow(
        400,
        (INVALID,),
        ("missing_required_parameter", "invalid_type", "invalid_value"),
        _("A field is missing, or holds something of another kind."),
        _("Correct the field that param names."),
    ),
    ErrorRow(
        400,
        (INVALID,),
        (
            "empty_array",
            "array_above_max_length",
            "string_above_max_length",
            "integer_below_min_value",
            "integer_above_max_value",
        ),
        _("A field is too short, too long, too small or too large."),
        _("Stay within the bound that the message names."),
    ),
    ErrorRow(
        400,
        (INVALID,),
        ("context_length_exceeded",),
        _("The prompt and the answer it asks for do not fit into the model's context."),
        _("Shorten the messages, ask for fewer tokens, or take a model with more context."),
    ),
    ErrorRow(
        400,
        (INVALID,),
        ("model_unpriced",),
        _("The model has no price, and this instance does not serve what it cannot price."),
        _("Take another model, or ask an administrator for a price."),
    ),
    ErrorRow(401, (INVALID,), ("",), _("No key was sent."), _("Send the header Authorization: Bearer YOUR_KEY.")),
    ErrorRow(
        401,
        (INVALID,),
        ("invalid_api_key",),
        _("The key is unknown, mistyped, revoked or expired."),
        _("Look for it on the Keys page, or make another one."),
    ),
    ErrorRow(
        401,
        (INVALID,),
        ("ip_not_authorized",),
        _("The key may not be used from this IP address."),
        _("Call from an allowed network, or change the key's list of networks."),
    ),
    ErrorRow(
        403,
        (INVALID,),
        ("",),
        _("An ordinary key asked for the numbers of the whole instance."),
        _("Use an admin key for /v1/organization and /api."),
    ),
    ErrorRow(404, (INVALID,), ("",), _("There is nothing at this address."), _("Check the base URL: it ends in /v1.")),
    ErrorRow(
        404,
        (INVALID,),
        ("model_not_found",),
        _("No provider serves this model, or the key may not use it."),
        _("Choose one of GET /v1/models."),
    ),
    ErrorRow(
        405,
        (INVALID,),
        ("method_not_supported",),
        _("The address exists, but not for this method."),
        _("Look at the header Allow."),
    ),
    ErrorRow(
        408,
        (INVALID,),
        ("",),
        _("The body did not arrive in time."),
        _("Send it again; look at the network."),
        is_retried=True,
    ),
    ErrorRow(413, (INVALID,), ("",), _("The body is larger than 10 MiB."), _("Send less, or smaller images.")),
    ErrorRow(415, (INVALID,), ("",), _("The body is not JSON."), _("Send content-type: application/json.")),
    ErrorRow(
        429,
        ("requests", "tokens"),
        ("rate_limit_exceeded",),
        _("A limit of the team, of the key or of the provider is reached."),
        _("Wait as long as retry-after-ms says. A request that can never fit says x-should-retry: false."),
        is_retried=True,
    ),
    ErrorRow(
        500,
        (SERVER,),
        ("",),
        _("The gateway failed. That is a fault of ours."),
        _("Send it again, and report the x-request-id."),
        is_retried=True,
    ),
    ErrorRow(
        502,
        (SERVER,),
        ("upstream_unreachable", "upstream_broke_off", "upstream_garbled", "upstream_too_large", "upstream_error"),
        _("The provider could not be reached, broke off, or sent no usable answer."),
        _("Send it again, or name fallback models."),
        is_retried=True,
    ),
    ErrorRow(
        502,
        (SERVER,),
        ("upstream_refused_credentials",),
        _("The provider refused this instance's own key. Yours is right."),
        _("Tell an administrator."),
        is_retried=True,
    ),
    ErrorRow(
        503,
        (OVERLOADED,),
        ("server_is_overloaded",),
        _("Keys cannot be checked or calls cannot be recorded just now."),
        _("Send it again after retry-after."),
        is_retried=True,
    ),
    ErrorRow(
        504,
        (SERVER,),
        ("upstream_timeout",),
        _("The provider did not answer in time."),
        _("Send it again, ask for less, or stream."),
        is_retried=True,
    ),
)

ACTIONS: dict[Action, Promise] = {
    Action.SEE_USAGE: _("See the team's totals: spend, tokens, models, headroom"),
    Action.SEE_OWN_CALLS: _("See their own calls and receipts"),
    Action.SEE_ALL_CALLS: _("See everybody's calls and receipts"),
    Action.MANAGE_OWN_KEYS: _("Make, rotate and revoke keys of their own"),
    Action.MANAGE_ALL_KEYS: _("Manage everybody's keys"),
    Action.USE_PLAYGROUND: _("Use the playground"),
    Action.SHARE_VIEWS: _("Save views and share them with the team"),
    Action.SEE_TEAM: _("See who is in the team"),
    Action.MANAGE_TEAM: _("Invite and remove people, change roles and the team's settings"),
    Action.MANAGE_OWNERS: _("Make owners, and take that role away"),
    Action.SEE_AUDIT: _("See who changed what in the team"),
    Action.MANAGE_PLATFORM: _("Run the instance: teams, tiers, providers, prices, settings, audit log"),
}
ROLES = (Membership.Role.VIEWER, Membership.Role.MEMBER, Membership.Role.ADMIN, Membership.Role.OWNER, ADMINISTRATOR)


def role_names() -> list[str | Promise]:
    labels = [Membership.Role(role).label for role in ROLES if role != ADMINISTRATOR]
    return [*(str(label).capitalize() for label in labels), _("Administrator")]


def role_rows() -> Sequence[tuple[str | Promise, Sequence[bool]]]:
    """What may be done, and by which of `ROLES`: accounts.policy as a table."""
    return [(ACTIONS.get(action, action.value), [action in ALLOWED[role] for role in ROLES]) for action in Action]
