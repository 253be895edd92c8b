"""`/v1/...`: what the official SDKs know, and `me`. A trailing slash is accepted."""

from django.urls import re_path

from usage.api.me import MeView
from usage.api.organization import EMBEDDING_DIMENSIONS, UNMETERED, CostsView, UnmeteredView, UsageView

urlpatterns = [
    re_path(r"^me/?$", MeView.as_view(), name="me"),
    re_path(r"^organization/usage/completions/?$", UsageView.as_view(), name="usage-completions"),
    re_path(
        r"^organization/usage/embeddings/?$",
        UsageView.as_view(kind="embeddings", dimensions=EMBEDDING_DIMENSIONS),
        name="usage-embeddings",
    ),
    re_path(rf"^organization/usage/(?:{'|'.join(UNMETERED)})/?$", UnmeteredView.as_view(), name="usage-unmetered"),
    re_path(r"^organization/costs/?$", CostsView.as_view(), name="costs"),
]
