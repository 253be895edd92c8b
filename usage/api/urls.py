"""`/api/...`: our own. A trailing slash is accepted."""

from django.urls import re_path

from usage.api.events import EventsView

urlpatterns = [re_path(r"^usage/events/?$", EventsView.as_view(), name="events")]
