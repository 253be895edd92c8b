"""Addresses of the pages. A team's pages are below /t/<id>/, the platform's below /instance/."""

from django.urls import include, path

from usage.dashboard import overview, playground
from usage.dashboard.administration import admin_keys, audit, settings, teams, tiers
from usage.dashboard.calls import listing as calls
from usage.dashboard.calls import receipts
from usage.dashboard.catalog import models, prices, providers, routes
from usage.dashboard.docs import views as docs
from usage.dashboard.docs.pages import SLUGS as DOCS
from usage.dashboard.explorer import urls as explorer
from usage.dashboard.headroom import instance as instance_headroom
from usage.dashboard.headroom import page as headroom
from usage.dashboard.keys import changing, listing, making
from usage.dashboard.keys import page as key_page
from usage.dashboard.people import account, joining, team

TEAM = [
    path("overview/", overview.team_page, name="overview"),
    path("overview/live/", overview.team_live, name="overview-live"),
    path("overview/figure.json", overview.team_figure, name="overview-figure"),
    path("overview/models.csv", overview.team_csv, name="overview-csv"),
    path("explorer/", include(explorer.TEAM)),
    path("headroom/", headroom.page, name="headroom"),
    path("headroom/live/", headroom.live, name="headroom-live"),
    path("headroom/minutes.csv", headroom.minutes_csv, name="headroom-csv"),
    path("calls/", calls.team_page, name="calls"),
    path("calls/live/", calls.team_live, name="calls-live"),
    path("calls/export.csv", calls.team_csv, name="calls-csv"),
    path("calls/<str:request_id>/", receipts.page, name="receipt"),
    path("calls/<str:request_id>/receipt.json", receipts.as_json, name="receipt-json"),
    path("keys/", listing.key_list, name="keys"),
    path("keys/new/", making.create, name="key-new"),
    path("keys/<int:key_id>/", key_page.page, name="key"),
    path("keys/<int:key_id>/live/", key_page.live, name="key-live"),
    path("keys/<int:key_id>/days.csv", key_page.days_csv, name="key-days-csv"),
    path("keys/<int:key_id>/made/", making.made, name="key-made"),
    path("keys/<int:key_id>/first-call/", making.first_call, name="key-first-call"),
    path("keys/<int:key_id>/edit/", changing.edit, name="key-edit"),
    path("keys/<int:key_id>/rotate/", changing.rotate, name="key-rotate"),
    path("keys/<int:key_id>/finish/", changing.finish, name="key-finish"),
    path("keys/<int:key_id>/cancel/", changing.cancel, name="key-cancel"),
    path("keys/<int:key_id>/revoke/", changing.revoke, name="key-revoke"),
    path("team/", team.member_list, name="members"),
    path("team/settings/", team.settings, name="team-settings"),
    path("team/leave/", team.leave, name="team-leave"),
    path("team/invite/", team.invite, name="member-invite"),
    path("team/invitations/<int:invitation_id>/resend/", team.resend, name="invitation-resend"),
    path("team/invitations/<int:invitation_id>/withdraw/", team.withdraw, name="invitation-withdraw"),
    path("team/members/<int:membership_id>/role/", team.change_role, name="member-role"),
    path("team/members/<int:membership_id>/remove/", team.remove, name="member-remove"),
    path("audit/", audit.team_page, name="audit"),
    path("audit/export.csv", audit.team_csv, name="audit-csv"),
    path("playground/", playground.page, name="playground"),
    path("playground/key/", playground.make_key, name="playground-key"),
    path("playground/key/end/", playground.end_key, name="playground-key-end"),
    path("playground/call/", playground.call, name="playground-call"),
    path("playground/code/", playground.code, name="playground-code"),
    path("docs/", docs.page, name="docs"),
    *(path(f"docs/{slug}/", docs.page, {"slug": slug}, name=f"docs-{slug}") for slug in DOCS),
]

INSTANCE = [
    path("overview/", overview.instance_page, name="instance-overview"),
    path("overview/live/", overview.instance_live, name="instance-overview-live"),
    path("overview/figure.json", overview.instance_figure, name="instance-overview-figure"),
    path("overview/models.csv", overview.instance_csv, name="instance-overview-csv"),
    path("explorer/", include(explorer.INSTANCE)),
    path("headroom/", instance_headroom.page, name="instance-headroom"),
    path("headroom/live/", instance_headroom.live, name="instance-headroom-live"),
    path("calls/", calls.instance_page, name="instance-calls"),
    path("calls/live/", calls.instance_live, name="instance-calls-live"),
    path("calls/export.csv", calls.instance_csv, name="instance-calls-csv"),
    path("teams/", teams.team_list, name="teams"),
    path("teams/new/", teams.team_new, name="team-new"),
    path("teams/<int:team_id>/", teams.team_page, name="team"),
    path("teams/<int:team_id>/change/", teams.team_change, name="team-change"),
    path("teams/<int:team_id>/archive/", teams.team_archive, name="team-archive"),
    path("tiers/", tiers.tier_list, name="tiers"),
    path("tiers/new/", tiers.tier_edit, name="tier-new"),
    path("tiers/<int:tier_id>/", tiers.tier_edit, name="tier"),
    path("tiers/<int:tier_id>/move/", tiers.tier_move, name="tier-move"),
    path("tiers/<int:tier_id>/delete/", tiers.tier_delete, name="tier-delete"),
    path("admin-keys/", admin_keys.key_list, name="admin-keys"),
    path("admin-keys/new/", admin_keys.create, name="admin-key-new"),
    path("admin-keys/<int:admin_key_id>/made/", admin_keys.made, name="admin-key-made"),
    path("admin-keys/<int:admin_key_id>/revoke/", admin_keys.revoke, name="admin-key-revoke"),
    path("audit/", audit.instance_page, name="instance-audit"),
    path("audit/export.csv", audit.instance_csv, name="instance-audit-csv"),
    path("settings/", settings.page, name="settings"),
    path("providers/", providers.provider_list, name="providers"),
    path("providers/new/", providers.provider_edit, name="provider-new"),
    path("providers/try/", providers.provider_try, name="provider-new-try"),
    path("providers/<int:provider_id>/", providers.provider_edit, name="provider"),
    path("providers/<int:provider_id>/try/", providers.provider_try, name="provider-try"),
    path("providers/<int:provider_id>/check/", providers.provider_check, name="provider-check"),
    path("providers/<int:provider_id>/switch/", providers.provider_switch, name="provider-switch"),
    path("providers/<int:provider_id>/delete/", providers.provider_delete, name="provider-delete"),
    path("models/", models.model_list, name="models"),
    path("models/new/", models.model_new, name="model-new"),
    path("models/<int:model_id>/", models.model_page, name="model"),
    path("models/<int:model_id>/change/", models.model_change, name="model-change"),
    path("models/<int:model_id>/switch/", models.model_switch, name="model-switch"),
    path("models/<int:model_id>/routes/new/", routes.route_new, name="route-new"),
    path("models/<int:model_id>/routes/<int:route_id>/", routes.route_act, name="route"),
    path("models/<int:model_id>/routes/<int:route_id>/delete/", routes.route_delete, name="route-delete"),
    path("prices/", prices.price_list, name="prices"),
    path("prices/versions.csv", prices.price_csv, name="prices-csv"),
    path("prices/history/", prices.price_history, name="price-history"),
    path("prices/set/", prices.price_set, name="price-set"),
    path("prices/<int:version_id>/withdraw/", prices.price_withdraw, name="price-withdraw"),
]

ACCOUNT = [
    path("", account.profile, name="account-profile"),
    path("email/", account.email, name="account-email"),
    path("email/<str:ticket>/", account.confirm_email, name="account-email-confirm"),
    path("sessions/", account.sessions, name="account-sessions"),
]

urlpatterns = [
    path("", overview.home, name="home"),
    path("account/", include(ACCOUNT)),
    path("join/<str:token>/", joining.join, name="join"),
    path("t/<int:team_id>/", include(TEAM)),
    path("instance/", include(INSTANCE)),
    path("docs/", docs.anywhere, name="any-docs"),
    *(path(f"docs/{slug}/", docs.anywhere, {"slug": slug}, name=f"any-docs-{slug}") for slug in DOCS),
    path("i18n/", include("django.conf.urls.i18n")),
]
