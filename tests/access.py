"""The access table: who may open which address. tests/test_access.py walks the URL table and holds every address to it.

A new address needs a row here, or the test says so. To add one:

1. Find the list: TEAM (addresses below /t/<team_id>/), PLATFORM (below /instance/), ANYBODY (everyone signed in),
   OPEN (everyone), REST (bearer keys). Pages of allauth and of Django's own admin are in the two tables at the end.
2. Append `Page("url-name", Action.X)`. Which roles get in follows from accounts/policy.py alone; all others get 404,
   strangers the sign-in page, and strangers' htmx requests a 204 that takes them there.
3. Arguments other than `team_id` are filled by their name from MAKERS in tests/access_world.py: `<int:key_id>` is one.
   A new kind of object needs one function there: (team, who made it) -> the argument's value. A test then tries the
   object of somebody else in the team, of the reader's own (`own`), and of another team below this team's address.
4. `own=Action.Y`: who may open it for an object they made themselves, where that is more people than for others'.
5. `get=405` or `get=302`: what a plain GET answers to whoever may, when that is not 200. `post=302` likewise for a POST
   of `data`; when it is not given, a POST may answer anything but 404 and a 500. POSTs are undone after each look.
6. `query="?a=b"` is appended where a page needs it. `fixed={"dimension": "model"}` fills an argument that is no object;
   `kinds={"view_id": "instance_view"}` takes another function of MAKERS than the one with the argument's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accounts.policy import Action
from usage.dashboard.docs.pages import SLUGS as DOCS

PLAYGROUND_REQUEST = '{"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]}'


@dataclass(frozen=True)
class Page:
    """One named address and who may open it. `action` is None where being signed in, or nothing, is enough."""

    name: str
    action: Action | None = None
    own: Action | None = None
    get: int = 200
    post: int | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rest:
    """Sample addresses of a REST view, and whether an ordinary key is enough for it."""

    name: str
    samples: tuple[str, ...]
    any_key: bool = False


# Below /t/<team_id>/ ------------------------------------------------------------------------------------------------
TEAM = [
    Page("overview", Action.SEE_USAGE),
    Page("overview-live", Action.SEE_USAGE),
    Page("overview-figure", Action.SEE_USAGE),
    Page("overview-csv", Action.SEE_USAGE),
    Page("explorer", Action.SEE_USAGE),
    Page("explorer-why", Action.SEE_USAGE),
    Page("explorer-buckets", Action.SEE_USAGE),
    Page("explorer-csv", Action.SEE_USAGE),
    Page("explorer-choices", Action.SEE_USAGE, fixed={"dimension": "model"}),
    Page("explorer-views", Action.SEE_USAGE),
    Page("explorer-view-new", Action.SEE_USAGE, post=200),
    # A shared view is changed by who made it alone; administrators may delete it.
    Page("explorer-view-edit", None, own=Action.SEE_USAGE, post=200),
    Page("explorer-view-delete", Action.MANAGE_TEAM, own=Action.SEE_USAGE, post=302),
    Page("headroom", Action.SEE_USAGE),
    Page("headroom-live", Action.SEE_USAGE),
    Page("headroom-csv", Action.SEE_USAGE),
    Page("calls", Action.SEE_OWN_CALLS),
    Page("calls-live", Action.SEE_OWN_CALLS, query="?newest=req_0190a1b2c3d47e5f8899aabbccddeeff"),
    Page("calls-csv", Action.SEE_OWN_CALLS),
    Page("receipt", Action.SEE_ALL_CALLS, own=Action.SEE_OWN_CALLS),
    Page("receipt-json", Action.SEE_ALL_CALLS, own=Action.SEE_OWN_CALLS),
    Page("keys", Action.MANAGE_OWN_KEYS),
    Page("key-new", Action.MANAGE_OWN_KEYS, post=200),
    # Without a fresh secret in the session it leads back to the list.
    Page("key-made", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, get=302),
    Page("key-first-call", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS),
    Page("key", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS),
    Page("key-live", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS),
    Page("key-days-csv", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS),
    Page("key-edit", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, post=200),
    Page("key-rotate", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, post=200),
    Page("key-finish", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, post=302),
    Page("key-cancel", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, post=302),
    Page("key-revoke", Action.MANAGE_ALL_KEYS, own=Action.MANAGE_OWN_KEYS, post=302),
    Page("members", Action.SEE_TEAM),
    Page("team-settings", Action.MANAGE_TEAM, post=200),
    Page("team-leave", Action.SEE_TEAM),
    Page("member-invite", Action.MANAGE_TEAM, post=200),
    Page("invitation-resend", Action.MANAGE_TEAM, get=302, post=302),
    Page("invitation-withdraw", Action.MANAGE_TEAM, get=302, post=302),
    Page("member-role", Action.MANAGE_TEAM, post=200),
    Page("member-remove", Action.MANAGE_TEAM, post=302),
    Page("audit", Action.SEE_AUDIT),
    Page("audit-csv", Action.SEE_AUDIT),
    Page("playground", Action.USE_PLAYGROUND),
    Page("playground-key", Action.USE_PLAYGROUND, get=405, post=200),
    Page("playground-key-end", Action.USE_PLAYGROUND, get=405, post=204, data={"key": "1"}),
    # Somebody else's call is not told from one that is not recorded yet.
    Page("playground-call", Action.USE_PLAYGROUND),
    Page("playground-code", Action.USE_PLAYGROUND, get=405, post=200, data={"request": PLAYGROUND_REQUEST}),
    Page("docs", Action.SEE_USAGE),
    *(Page(f"docs-{slug}", Action.SEE_USAGE) for slug in DOCS),
]

# Below /instance/ ---------------------------------------------------------------------------------------------------
PLATFORM = [
    Page("instance-overview", Action.MANAGE_PLATFORM),
    Page("instance-overview-live", Action.MANAGE_PLATFORM),
    Page("instance-overview-figure", Action.MANAGE_PLATFORM),
    Page("instance-overview-csv", Action.MANAGE_PLATFORM),
    Page("instance-explorer", Action.MANAGE_PLATFORM),
    Page("instance-explorer-why", Action.MANAGE_PLATFORM),
    Page("instance-explorer-buckets", Action.MANAGE_PLATFORM),
    Page("instance-explorer-csv", Action.MANAGE_PLATFORM),
    Page("instance-explorer-choices", Action.MANAGE_PLATFORM, fixed={"dimension": "team"}),
    Page("instance-explorer-views", Action.MANAGE_PLATFORM),
    Page("instance-explorer-view-new", Action.MANAGE_PLATFORM, post=200),
    Page("instance-explorer-view-edit", Action.MANAGE_PLATFORM, post=200, kinds={"view_id": "instance_view_id"}),
    Page("instance-explorer-view-delete", Action.MANAGE_PLATFORM, post=302, kinds={"view_id": "instance_view_id"}),
    Page("instance-headroom", Action.MANAGE_PLATFORM),
    Page("instance-headroom-live", Action.MANAGE_PLATFORM),
    Page("instance-calls", Action.MANAGE_PLATFORM),
    Page("instance-calls-live", Action.MANAGE_PLATFORM, query="?newest=req_0190a1b2c3d47e5f8899aabbccddeeff"),
    Page("instance-calls-csv", Action.MANAGE_PLATFORM),
    Page("teams", Action.MANAGE_PLATFORM),
    Page("team-new", Action.MANAGE_PLATFORM, post=200),
    Page("team", Action.MANAGE_PLATFORM),
    Page("team-change", Action.MANAGE_PLATFORM, post=200),
    Page("team-archive", Action.MANAGE_PLATFORM, post=302),
    Page("tiers", Action.MANAGE_PLATFORM),
    Page("tier-new", Action.MANAGE_PLATFORM, post=200),
    Page("tier", Action.MANAGE_PLATFORM, post=200),
    Page("tier-move", Action.MANAGE_PLATFORM, get=405, post=302),
    Page("tier-delete", Action.MANAGE_PLATFORM, post=200),
    Page("admin-keys", Action.MANAGE_PLATFORM),
    Page("admin-key-new", Action.MANAGE_PLATFORM, post=200),
    Page("admin-key-made", Action.MANAGE_PLATFORM, get=302),
    Page("admin-key-revoke", Action.MANAGE_PLATFORM, post=302),
    Page("instance-audit", Action.MANAGE_PLATFORM),
    Page("instance-audit-csv", Action.MANAGE_PLATFORM),
    Page("settings", Action.MANAGE_PLATFORM, post=200),
    Page("providers", Action.MANAGE_PLATFORM),
    Page("provider-new", Action.MANAGE_PLATFORM, post=200),
    Page("provider-new-try", Action.MANAGE_PLATFORM, get=405, post=200),
    Page("provider", Action.MANAGE_PLATFORM, post=200),
    Page("provider-try", Action.MANAGE_PLATFORM, get=405, post=200),
    Page("provider-check", Action.MANAGE_PLATFORM, get=405, post=200),
    Page("provider-switch", Action.MANAGE_PLATFORM, get=405, post=302, data={"to": "off"}),
    Page("provider-delete", Action.MANAGE_PLATFORM, post=302),
    Page("models", Action.MANAGE_PLATFORM),
    Page("model-new", Action.MANAGE_PLATFORM, post=200),
    Page("model", Action.MANAGE_PLATFORM),
    Page("model-change", Action.MANAGE_PLATFORM, post=200),
    Page("model-switch", Action.MANAGE_PLATFORM, get=405, post=302, data={"to": "off"}),
    Page("route-new", Action.MANAGE_PLATFORM, post=200),
    Page("route", Action.MANAGE_PLATFORM, get=405, post=302, data={"to": "up"}),
    Page("route-delete", Action.MANAGE_PLATFORM, post=302),
    Page("prices", Action.MANAGE_PLATFORM),
    Page("prices-csv", Action.MANAGE_PLATFORM),
    Page("price-history", Action.MANAGE_PLATFORM, query="?book=openai&model=gpt-4"),
    Page("price-set", Action.MANAGE_PLATFORM, post=200, query="?book=openai&model=gpt-4"),
    Page("price-withdraw", Action.MANAGE_PLATFORM, post=302),
]

# Everyone who is signed in, whatever their teams --------------------------------------------------------------------
ANYBODY: list[Page] = [
    Page("account-profile", post=200),
    Page("account-email", post=200),
    Page("account-email-confirm", post=302),
    Page("account-sessions", post=302),
    Page("any-docs", get=302),
    *(Page(f"any-docs-{slug}", get=302) for slug in DOCS),
]

# Everyone, signed in or not -----------------------------------------------------------------------------------------
OPEN = [
    # Whoever has the link sees whom it invites; only that person can accept.
    Page("join", post=200),
    Page("set_language", get=302, post=302),
]

# One address that shows each reader something else.
HOME = "home"

# A bearer key and nothing else; a browser's session opens none of them ----------------------------------------------
REST = [
    Rest("me", ("/v1/me", "/me"), any_key=True),
    Rest("events", ("/api/usage/events",)),
    Rest("costs", ("/v1/organization/costs?start_time=0", "/organization/costs?start_time=0")),
    Rest("usage-completions", ("/v1/organization/usage/completions?start_time=0",)),
    Rest("usage-embeddings", ("/v1/organization/usage/embeddings?start_time=0",)),
    Rest(
        "usage-unmetered",
        ("/v1/organization/usage/images?start_time=0", "/v1/organization/usage/moderations?start_time=0"),
    ),
]

# allauth's own, below /accounts/: what a stranger meets there, and nothing of it is a team's ------------------------
SHOWN, TO_SIGN_IN = "shown to strangers", "strangers are sent to the sign-in"
ALLAUTH = {
    "account_login": SHOWN,
    "account_logout": SHOWN,
    "account_signup": SHOWN,
    "account_inactive": SHOWN,
    "account_reset_password": SHOWN,
    "account_reset_password_done": SHOWN,
    "account_reset_password_from_key": SHOWN,
    "account_reset_password_from_key_done": SHOWN,
    "account_reauthenticate": TO_SIGN_IN,
    "account_change_password": TO_SIGN_IN,
    "account_set_password": TO_SIGN_IN,
    "mfa_index": TO_SIGN_IN,
    "mfa_authenticate": TO_SIGN_IN,
    "mfa_reauthenticate": TO_SIGN_IN,
    "mfa_activate_totp": TO_SIGN_IN,
    "mfa_deactivate_totp": TO_SIGN_IN,
    "mfa_view_recovery_codes": TO_SIGN_IN,
    "mfa_generate_recovery_codes": TO_SIGN_IN,
    "mfa_download_recovery_codes": TO_SIGN_IN,
    "mfa_list_webauthn": TO_SIGN_IN,
    "mfa_add_webauthn": TO_SIGN_IN,
    "mfa_login_webauthn": TO_SIGN_IN,
    "mfa_reauthenticate_webauthn": TO_SIGN_IN,
    "mfa_edit_webauthn": TO_SIGN_IN,
    "mfa_remove_webauthn": TO_SIGN_IN,
    "socialaccount_connections": TO_SIGN_IN,
    "socialaccount_signup": SHOWN,
    "socialaccount_login_cancelled": SHOWN,
    "socialaccount_login_error": SHOWN,
    "openid_connect_login": SHOWN,
    "openid_connect_callback": SHOWN,
}

# Django's own admin, below /admin/: a platform administrator, or the sign-in. Every address of it, so no table.
DJANGO_ADMIN = "admin/"
