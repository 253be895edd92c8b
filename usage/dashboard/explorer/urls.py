"""The explorer's addresses: the same parts for a team and for the instance."""

from __future__ import annotations

from django.urls import URLPattern, path

from usage.dashboard.explorer import causes, choosing, files, page, saved

TEAM: list[URLPattern] = [
    path("", page.team_page, name="explorer"),
    path("why/", causes.team_why, name="explorer-why"),
    path("table/", page.team_buckets, name="explorer-buckets"),
    path("table.csv", files.team_csv, name="explorer-csv"),
    path("choose/<str:dimension>/", choosing.team_choose, name="explorer-choices"),
    path("views/", saved.team_list, name="explorer-views"),
    path("views/new/", saved.team_create, name="explorer-view-new"),
    path("views/<int:view_id>/", saved.team_edit, name="explorer-view-edit"),
    path("views/<int:view_id>/delete/", saved.team_delete, name="explorer-view-delete"),
]

INSTANCE: list[URLPattern] = [
    path("", page.instance_page, name="instance-explorer"),
    path("why/", causes.instance_why, name="instance-explorer-why"),
    path("table/", page.instance_buckets, name="instance-explorer-buckets"),
    path("table.csv", files.instance_csv, name="instance-explorer-csv"),
    path("choose/<str:dimension>/", choosing.instance_choose, name="instance-explorer-choices"),
    path("views/", saved.instance_list, name="instance-explorer-views"),
    path("views/new/", saved.instance_create, name="instance-explorer-view-new"),
    path("views/<int:view_id>/", saved.instance_edit, name="instance-explorer-view-edit"),
    path("views/<int:view_id>/delete/", saved.instance_delete, name="instance-explorer-view-delete"),
]
