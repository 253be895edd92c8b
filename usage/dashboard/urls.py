"""Addresses of the pages. A team's pages are below /t/<id>/, the platform's below /instance/."""

from django.urls import include, path

from usage.dashboard import calls, keys, overview, tiers

TEAM = [
    path("overview/", overview.team_page, name="overview"),
    path("overview/live/", overview.team_live, name="overview-live"),
    path("overview/figure.json", overview.team_figure, name="overview-figure"),
    path("overview/models.csv", overview.team_csv, name="overview-csv"),
    path("calls/", calls.team_calls, name="calls"),
    path("calls/<str:request_id>/", calls.receipt, name="receipt"),
    path("keys/", keys.key_list, name="keys"),
    path("keys/new/", keys.create, name="key-new"),
    path("keys/<int:key_id>/made/", keys.made, name="key-made"),
    path("keys/<int:key_id>/first-call/", keys.first_call, name="key-first-call"),
    path("keys/<int:key_id>/revoke/", keys.revoke, name="key-revoke"),
]

INSTANCE = [
    path("overview/", overview.instance_page, name="instance-overview"),
    path("overview/live/", overview.instance_live, name="instance-overview-live"),
    path("overview/figure.json", overview.instance_figure, name="instance-overview-figure"),
    path("overview/models.csv", overview.instance_csv, name="instance-overview-csv"),
    path("calls/", calls.instance_calls, name="instance-calls"),
    path("tiers/", tiers.tier_list, name="tiers"),
    path("tiers/new/", tiers.tier_edit, name="tier-new"),
    path("tiers/<int:tier_id>/", tiers.tier_edit, name="tier"),
    path("teams/", tiers.team_list, name="teams"),
    path("teams/new/", tiers.team_edit, name="team-new"),
    path("teams/<int:team_id>/", tiers.team_edit, name="team"),
]

urlpatterns = [
    path("", overview.home, name="home"),
    path("t/<int:team_id>/", include(TEAM)),
    path("instance/", include(INSTANCE)),
    path("i18n/", include("django.conf.urls.i18n")),
]
