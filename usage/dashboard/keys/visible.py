"""Which keys somebody may see: a member their own, a viewer none."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet
from django.http import Http404

from accounts.models import ApiKey, KeySecret
from accounts.policy import Action, Standing

WITH_SECRETS = Prefetch("secrets", KeySecret.objects.select_related("created_by"))


def visible(standing: Standing) -> QuerySet[ApiKey]:
    found = ApiKey.objects.filter(team=standing.team)
    return found if standing.may(Action.MANAGE_ALL_KEYS) else found.filter(created_by=standing.user)


def find(standing: Standing, key_id: int) -> ApiKey:
    """With its creator and its secrets. Two queries; 404 for a key that is not there or not theirs."""
    found = visible(standing).select_related("team__tier", "created_by").prefetch_related(WITH_SECRETS)
    key = found.filter(pk=key_id).first()
    if key is None:
        raise Http404
    return key
