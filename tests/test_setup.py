"""The first start makes what is needed, once; the files it is made from are locked by hash and name no address."""

import json
import re
import socket
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from accounts.models import AdminKey, ApiKey, AuditEntry, KeySecret, Membership, Team, Tier, User
from accounts.secrets import digest, pepper_from
from tests.test_settings import run_manage
from usage import banner, first_start, ports, supervision
from usage.models import Model, Provider

ROOT = Path(__file__).resolve().parent.parent
NOTHING_GIVEN = dict.fromkeys(settings.FIRST_START, "") | {"bootstrap_tier": "Pro"}


@pytest.fixture(autouse=True)
def _static_files_are_there(settings, tmp_path):
    """Collecting them takes seconds; the command itself does it once below."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.STATIC_ROOT = settings.DATA_DIR / "static"
    first_start.static_stamp().write_text(first_start.static_sources())


@pytest.mark.django_db(transaction=True)
def test_the_first_start_makes_an_administrator_a_team_keys_and_the_sandbox():
    shown = first_start.prepare(NOTHING_GIVEN)
    assert shown is not None
    ada = User.objects.get()
    assert ada.is_staff
    assert ada.check_password(shown.admin_password)
    team = Team.objects.get()
    assert team.tier.name == "Pro"
    assert Membership.objects.get().role == "owner"
    assert shown.key.startswith("sk-mega-")
    assert shown.admin_key.startswith("sk-admin-")
    assert Provider.objects.get().is_sandbox
    assert Model.objects.filter(name="sandbox-cut").exists()
    assert {"team.create", "key.create", "admin_key.create", "provider.create"} <= set(
        AuditEntry.objects.values_list("action", flat=True)
    )


@pytest.mark.django_db(transaction=True)
def test_a_second_start_makes_nothing_and_shows_nothing():
    first_start.prepare(NOTHING_GIVEN)
    before = [model.objects.count() for model in (User, Team, Tier, ApiKey, AdminKey, Provider, Model, AuditEntry)]
    assert first_start.prepare(NOTHING_GIVEN | {"bootstrap_key": "another"}) is None
    assert before == [
        model.objects.count() for model in (User, Team, Tier, ApiKey, AdminKey, Provider, Model, AuditEntry)
    ]


@pytest.mark.django_db(transaction=True)
def test_a_tier_that_was_renamed_does_not_come_back():
    first_start.prepare(NOTHING_GIVEN)
    Tier.objects.filter(name="Basic").update(name="Starter")
    first_start.prepare(NOTHING_GIVEN)
    assert list(Tier.objects.values_list("name", flat=True)) == ["Starter", "Pro", "Enterprise"]


@pytest.mark.django_db(transaction=True)
def test_what_is_given_is_used_as_it_is_and_not_shown():
    given = {
        "admin_email": "Ada@Example.com",
        "admin_password": "adas own password",
        "bootstrap_key": "any form at all",
        "bootstrap_tier": "Basic",
        "bootstrap_admin_key": "sk-admin-given",
        "upstream_base_url": "http://models.example.com:9000/v1",
        "upstream_api_key": "upstream secret",
        "openai_api_key": "not for that host",
    }
    shown = first_start.prepare(given)
    assert shown == ("ada@example.com", None, None, None)
    provider = Provider.objects.get()
    assert (provider.name, provider.base_url) == ("models.example.com:9000", "http://models.example.com:9000/v1")
    assert provider.api_key == "upstream secret"
    assert Team.objects.get().tier.name == "Basic"
    assert KeySecret.objects.get().digest == digest("any form at all", pepper_from(settings.SECRET_KEY))
    said = banner.credentials(shown) + banner.ready("http://127.0.0.1:8000", "x", "log", "gpt-4", shown)
    assert not any(secret in said for secret in ("any form", "adas own", "sk-admin-given", "upstream secret"))


@pytest.mark.django_db(transaction=True)
def test_an_openai_key_alone_means_openai_itself():
    first_start.prepare(NOTHING_GIVEN | {"openai_api_key": "sk-openai"})
    provider = Provider.objects.get()
    assert provider.base_url == "https://api.openai.com/v1"
    assert provider.api_key == "sk-openai"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bootstrap_tier": "Gold"}, "MEGADASH_BOOTSTRAP_TIER"),
        ({"admin_email": "not an address"}, "MEGADASH_ADMIN_EMAIL"),
        ({"upstream_api_key": "whose?"}, "UPSTREAM_API_KEY"),
    ],
)
def test_a_wrong_first_start_leaves_nothing_behind(given, named):
    with pytest.raises(ImproperlyConfigured, match=named):
        first_start.prepare(NOTHING_GIVEN | given)
    assert not User.objects.exists()
    assert not Team.objects.exists()


def test_the_setup_command_fills_an_empty_directory_and_is_harmless_when_repeated(tmp_path):
    first = run_manage(tmp_path, "setup", OPENAI_API_KEY="")
    assert "sk-mega-" in first.stdout, first.stderr
    assert list((tmp_path / "static" / "vendor").glob("tabler.min.*.css"))
    second = run_manage(tmp_path, "setup", OPENAI_API_KEY="")
    assert (second.returncode, second.stdout) == (0, "Everything was set up already.\n")


def test_a_taken_port_is_said_in_the_words_of_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ImproperlyConfigured, match="MEGADASH_PORT"):
        ports.refuse_if_taken("127.0.0.1", listener.getsockname()[1])


def test_addresses_are_printed_as_a_browser_can_open_them():
    assert ports.url("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert ports.url("::1", 8000) == "http://[::1]:8000"


def test_the_shipper_starts_first_and_so_stops_last():
    names = [program.name for program in supervision.programs("127.0.0.1", 8000, 9000)]
    assert names == ["shipper", "sandbox", "celery", "beat", "gateway"]
    assert "sandbox" not in [program.name for program in supervision.programs("127.0.0.1", 8000, None)]


def test_a_percent_sign_in_a_path_reaches_supervisord_as_itself(tmp_path):
    text = supervision.config(supervision.programs("127.0.0.1", 8000, None), tmp_path / "100%")
    assert "100%%/log/gateway.log" in text
    assert "http_server" not in text


# The lock files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_python_packages_are_locked_by_hash_and_name_no_address(name):
    text = (ROOT / name).read_text()
    without_hashes = re.sub(r"^\s+--hash=.*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"https?://|file:|^\s*-|@ |/tmp/|/root/|/home/", without_hashes, re.MULTILINE)
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pins) > 50
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)


def test_the_development_lock_holds_the_same_versions_as_the_runtime_lock():
    runtime, development = (
        set(re.findall(r"^([a-z0-9-]+==[^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime <= development


def test_front_end_packages_are_locked_by_hash_and_name_no_address():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    fetched = [entry for path, entry in packages.items() if path]
    assert len(fetched) >= 5
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in fetched)
