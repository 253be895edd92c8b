"""What each role sees on its pages. Which pages it may open at all is the table of tests/access.py."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in

Role = Membership.Role
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def ada():
    """A team with a key that its owner made and a call with it."""
    team = rows.team("Ada's team")
    key, _ = rows.key(team, created_by=person("ada@example.com", team))
    call = rows.event(key, timezone.now())
    return {"team": team.pk, "call": call, "row": team}


def as_role(role: str, team=None) -> Client:
    if role == "administrator":
        return signed_in(person("root@example.com", is_staff=True))
    return signed_in(person(f"{role}@example.com", team, role))


def test_a_stranger_is_sent_to_the_sign_in_and_comes_back_to_the_page(ada) -> None:
    address = f"/t/{ada['team']}/overview/?range=7d"
    answer = Client().get(address)
    assert answer["location"] == f"/accounts/login/?next={address.replace('?', '%3F').replace('=', '%3D')}"


def test_a_live_part_of_a_page_takes_the_whole_page_to_the_sign_in_when_the_session_has_ended(ada) -> None:
    answer = Client().get(f"/t/{ada['team']}/overview/live/", headers={"hx-request": "true"})
    assert (answer.status_code, answer["hx-redirect"], answer.content) == (204, "/accounts/login/", b"")


def test_a_member_sees_their_own_calls_and_keys_and_the_teams_totals(ada) -> None:
    member = person("alan@example.com", ada["row"], Role.MEMBER)
    own_key, _ = rows.key(ada["row"], "alan's own", created_by=member)
    own_call = rows.event(own_key, timezone.now())
    client = signed_in(member)
    seen = client.get(f"/t/{ada['team']}/overview/").content.decode()
    assert own_call in seen
    assert ada["call"] not in seen
    assert "$0.0084" in seen  # both calls
    keys = client.get(f"/t/{ada['team']}/keys/").content.decode()
    assert "alan&#x27;s own" in keys
    assert "notebook" not in keys
    assert client.get(f"/t/{ada['team']}/calls/{own_call}/").status_code == 200


def test_a_viewer_sees_numbers_and_never_a_key(ada) -> None:
    seen = as_role(Role.VIEWER, ada["row"]).get(f"/t/{ada['team']}/overview/").content.decode()
    assert "$0.0042" in seen
    assert "notebook" not in seen
    assert ada["call"] not in seen


def test_home_is_the_first_team_or_the_instance_or_a_word_about_having_none(ada) -> None:
    assert as_role(Role.VIEWER, ada["row"]).get("/")["location"] == f"/t/{ada['team']}/overview/"
    lonely = signed_in(person("nobody@example.com")).get("/")
    assert b"no team has added you" in lonely.content
    ada["row"].archived_at = timezone.now()
    ada["row"].save()
    assert as_role("administrator").get("/")["location"] == "/instance/overview/"


def test_an_archived_team_is_not_found_by_its_members(ada) -> None:
    client = as_role(Role.OWNER, ada["row"])
    ada["row"].archived_at = timezone.now()
    ada["row"].save()
    assert client.get(f"/t/{ada['team']}/overview/").status_code == 404


def test_pages_are_never_kept_by_a_cache(ada) -> None:
    assert "no-store" in as_role(Role.OWNER, ada["row"]).get(f"/t/{ada['team']}/overview/")["cache-control"]
