"""Saved views: a name for an address, one's own or shared in the team."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.policy import Action, Standing
from usage.dashboard.explorer import address, controls
from usage.dashboard.explorer.address import View
from usage.dashboard.explorer.place import Place
from usage.dashboard.forms import ModelForm, mark_errors
from usage.dashboard.frame import in_team, on_instance
from usage.models import SavedView

# The longest query that the row holds; a view with hundreds of filters is sent as a link.
MOST_QUERY = 2000


class ViewForm(ModelForm):
    """A name, whether the team sees it, and whether it takes over what the page shows now."""

    replaces = forms.BooleanField(label=_("Replace its choices with what is shown now"), required=False)

    class Meta:
        model = SavedView
        fields = ("name", "is_shared")
        labels = {"name": _("Name"), "is_shared": _("Everyone in the team sees it")}

    def __init__(self, *args: Any, place: Place, query: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._query = query
        self.instance.team = place.team
        if not self.instance.pk:
            self.instance.created_by, self.instance.query = place.standing.user, query
        if not self.instance.pk or self.instance.query == query:
            del self.fields["replaces"]
        if not place.standing.may(Action.SHARE_VIEWS):
            del self.fields["is_shared"]
        for name in self.fields.keys() & {"is_shared", "replaces"}:
            self.fields[name].widget.attrs["class"] = "box"
        self.fields["name"].widget.attrs["autofocus"] = True
        mark_errors(self)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self._namesakes(name).exists():
            raise forms.ValidationError(gettext("You have a view of this name."))
        return name

    def _namesakes(self, name: str) -> QuerySet[SavedView]:
        """The database compares no nulls, so that the instance's own views are compared here."""
        found = SavedView.objects.filter(team=self.instance.team, created_by_id=self.instance.created_by_id, name=name)
        return found.exclude(pk=self.instance.pk)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if len(self._query) > MOST_QUERY:
            self.add_error("name", gettext("This view has too many filters to be kept. Copy its link instead."))
        if cleaned.get("replaces"):
            self.instance.query = self._query
        return cleaned

    def keep(self) -> bool:
        """False when another request took the name in the meantime."""
        try:
            with transaction.atomic():
                self.save()
        except IntegrityError:
            self.add_error("name", gettext("You have a view of this name."))
            return False
        return True


@dataclass(frozen=True)
class Menu:
    """`own` and `shared` views that may be opened here; `present` is the one whose choices the page shows."""

    own: Sequence[SavedView]
    shared: Sequence[SavedView]
    present: SavedView | None

    @property
    def count(self) -> int:
        return len(self.own) + len(self.shared)


def menu(place: Place, view: View) -> Menu:
    """One query."""
    found = list(_visible(place).select_related("created_by"))
    query = address.build(view)
    own = [each for each in found if each.created_by_id == place.standing.user.pk]
    shared = [each for each in found if each.created_by_id != place.standing.user.pk]
    return Menu(own, shared, next((each for each in (*own, *shared) if each.query == query), None))


def view_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    place = Place.of(standing)
    view = place.asked(request).view
    listed = [
        {
            "saved": each,
            "url": _open_url(place, each),
            "summary": controls.summary(address.parse(each.query, place.offered).view),
            "edit": place.url(view, "explorer-view-edit", each.pk) if _is_own(place, each) else "",
            "delete": place.url(view, "explorer-view-delete", each.pk) if _may_delete(place, each) else "",
        }
        for each in _visible(place).select_related("created_by")
    ]
    return _sheet(request, place, "views", {"listed": listed, "save": place.url(view, "explorer-view-new")})


def create(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Saving the same view under the same name again changes nothing: a form sent twice does no harm."""
    place = Place.of(standing)
    query = address.build(place.asked(request).view)
    name = request.POST.get("name", "").strip()
    if request.method == "POST" and _visible(place).filter(created_by=standing.user, name=name, query=query).exists():
        return _back(request, f"{place.bare()}?{query}")
    form = ViewForm(request.POST or None, place=place, query=query)
    if request.method == "POST" and form.is_valid() and form.keep():
        messages.success(request, gettext("%(name)s is saved.") % {"name": form.instance.name})
        return _back(request, f"{place.bare()}?{query}")
    return _sheet(request, place, "view_new", {"form": form})


def edit(request: HttpRequest, standing: Standing, view_id: int) -> HttpResponse:
    place = Place.of(standing)
    found = _find(place, view_id)
    if not _is_own(place, found):
        raise Http404
    query = address.build(place.asked(request).view)
    form = ViewForm(request.POST or None, instance=found, place=place, query=query)
    if request.method == "POST" and form.is_valid() and form.keep():
        messages.success(request, gettext("%(name)s is saved.") % {"name": found.name})
        return _back(request, _open_url(place, found))
    return _sheet(request, place, "view_edit", {"form": form, "saved": found})


def delete(request: HttpRequest, standing: Standing, view_id: int) -> HttpResponse:
    place = Place.of(standing)
    found = _find(place, view_id)
    if not _may_delete(place, found):
        raise Http404
    if request.method != "POST":
        return _sheet(request, place, "view_delete", {"saved": found})
    found.delete()
    messages.success(request, gettext("%(name)s is deleted.") % {"name": found.name})
    return _back(request, place.url(place.asked(request).view))


def _visible(place: Place) -> QuerySet[SavedView]:
    """One's own, and what others share here."""
    here = SavedView.objects.filter(team=place.team)
    return here.filter(Q(created_by=place.standing.user) | Q(is_shared=True))


def _find(place: Place, view_id: int) -> SavedView:
    found = _visible(place).filter(pk=view_id).first()
    if found is None:
        raise Http404
    return found


def _is_own(place: Place, view: SavedView) -> bool:
    return view.created_by_id == place.standing.user.pk


def _may_delete(place: Place, view: SavedView) -> bool:
    """Administrators clear up after those who left."""
    return _is_own(place, view) or place.standing.may(Action.MANAGE_TEAM)


def _open_url(place: Place, view: SavedView) -> str:
    return f"{place.bare()}?{view.query}" if view.query else place.bare()


def _sheet(request: HttpRequest, place: Place, name: str, context: dict[str, Any]) -> HttpResponse:
    back = place.url(place.asked(request).view)
    return render(
        request, f"dashboard/explorer/{name}.html", {"back": back, "self": request.get_full_path(), **context}
    )


def _back(request: HttpRequest, url: str) -> HttpResponse:
    """A dialog that is done takes the whole page along."""
    if not request.headers.get("HX-Request"):
        return redirect(url)
    answer = HttpResponse(status=204)
    answer["HX-Redirect"] = url
    return answer


team_list, instance_list = in_team(Action.SEE_USAGE)(view_list), on_instance(view_list)
team_create, instance_create = in_team(Action.SEE_USAGE)(create), on_instance(create)
team_edit, instance_edit = in_team(Action.SEE_USAGE)(edit), on_instance(edit)
team_delete, instance_delete = in_team(Action.SEE_USAGE)(delete), on_instance(delete)
