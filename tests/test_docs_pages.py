"""The docs pages: the same in both languages, no dead link, and tables that are what the code does."""

import ast
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path

import pytest
from django.test import RequestFactory

from accounts.models import InstanceSettings, Membership
from accounts.policy import ADMINISTRATOR, ALLOWED, Action
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.api import errors as rest_errors
from usage.dashboard import snippets
from usage.dashboard.docs import tables
from usage.dashboard.docs.pages import PAGES, SLUGS
from usage.models import Model, Price, PriceVersion, Provider, Route
from usage.proxy import refusals
from usage.proxy.admitted import ProviderRefused
from usage.proxy.directory import UnknownModel
from usage.proxy.exchange import BadCredentials
from usage.proxy.limits import Limiter, NoHeadroom
from usage.proxy.refusals import ContextLengthExceeded, WrongMethod
from usage.proxy.stream import BrokenStream
from usage.proxy.upstream import Unreachable
from usage.proxy.wire import BadCall

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent
CHINESE = {"accept-language": "zh-CN"}
# Sign-in of the reader, their team, its switcher, the sandbox, the address, the models; then the page's own tables.
QUERIES = 6
MORE_QUERIES = {"limits": 1, "models": 2}
# Where each exception of the gateway carries its code, as a position in its call.
CODES_AT = {"BadCall": 2, "Unreachable": 1, "BrokenStream": 1, "Told": 3}


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def ada():
    return rows.team("Ada's team")


@pytest.fixture
def client(ada):
    return signed_in(person("ada@example.com", ada))


@pytest.fixture(autouse=True)
def served() -> None:
    """A retired model, a present one without a price, and an embedding."""
    provider = Provider.objects.create(name="OpenAI", base_url="https://api.openai.com/v1")
    for name, fields in (
        ("gpt-4", {"context_length": 8_192, "shutdown_date": date(2020, 10, 23)}),
        ("gpt-5-mini", {"capabilities": ["chat", "tools"]}),
        ("text-embedding-3-small", {"kind": Model.Kind.EMBEDDING}),
    ):
        model = Model.objects.create(name=name, display_name=name, owned_by="openai", released_at=rows.EPOCH, **fields)
        Route.objects.create(model=model, provider=provider, upstream_model=name)
    for year, usd in ((2020, "60"), (2021, "30")):
        ended = datetime(year + 1, 1, 1, tzinfo=UTC) if year == 2020 else None
        version = PriceVersion.objects.create(
            price_book="openai",
            model="gpt-4",
            valid_from=datetime(year, 1, 1, tzinfo=UTC),
            valid_to=ended,
            source="test",
        )
        Price.objects.create(version=version, token_class="input", usd_per_million=Decimal(usd))


def page(client, team, slug: str, **options) -> str:
    answer = client.get(f"/t/{team.pk}/docs/{slug}/", **options)
    assert answer.status_code == 200, slug
    return answer.content.decode()


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


# Both languages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
def test_both_languages_have_the_same_sections_samples_and_tables(client, ada, slug: str) -> None:
    english, chinese = page(client, ada, slug), page(client, ada, slug, headers=CHINESE)
    for pattern in (r'<h2 id="([^"]+)">', r'<pre id="([^"]+)"', r'<table class="rows[^"]*" id="([^"]+)"'):
        assert re.findall(pattern, english) == re.findall(pattern, chinese)
    assert re.findall(r'<h2 id="', english)
    assert '<html lang="zh-Hans"' in chinese
    # Prose, not only a translated frame.
    prose = [html[html.index('<article class="doc">') : html.index("</article>")] for html in (english, chinese)]
    assert len(re.findall("[\u4e00-\u9fff]", prose[1])) > 60
    assert not re.findall("[\u4e00-\u9fff]", prose[0])
    for code in re.findall(r"<code>([^<]*)</code>", re.sub(r"<table.*?</table>", "", prose[0], flags=re.DOTALL)):
        assert code in prose[1], code


def test_each_page_has_a_template_in_each_language_and_no_other() -> None:
    for language in ("en", "zh_hans"):
        assert {path.stem for path in (ROOT / "templates" / "docs" / language).iterdir()} == set(SLUGS)


def test_every_link_leads_somewhere_and_every_anchor_exists(client, ada) -> None:
    pages = {f"/t/{ada.pk}/docs/{slug}/": page(client, ada, slug) for slug in SLUGS}
    for here, html in list(pages.items()):
        main = html[html.index("<main") :]
        for href in set(re.findall(r'<a [^>]*href="([^"]+)"', main)):
            path, _, anchor = unescape(href).partition("#")
            target = path or here
            if target not in pages:
                pages[target] = client.get(target).content.decode()
                assert client.get(target).status_code == 200, (here, href)
            assert not anchor or f'id="{anchor}"' in pages[target], (here, href)


def test_pages_follow_one_another(client, ada) -> None:
    first, second = page(client, ada, SLUGS[0]), page(client, ada, SLUGS[1])
    assert 'rel="prev"' not in first
    assert f'rel="next" href="/t/{ada.pk}/docs/{SLUGS[1]}/"' in first
    assert f'rel="prev" href="/t/{ada.pk}/docs/{SLUGS[0]}/"' in second
    assert 'rel="next"' not in page(client, ada, SLUGS[-1])


@pytest.mark.parametrize("slug", SLUGS)
def test_each_page_costs_a_fixed_number_of_queries(client, ada, slug: str, django_assert_num_queries) -> None:
    page(client, ada, slug)
    with django_assert_num_queries(QUERIES + MORE_QUERIES.get(slug, 0)):
        page(client, ada, slug)


def test_a_viewer_reads_everything_and_is_led_to_no_keys(ada) -> None:
    viewer = signed_in(person("eve@example.com", ada, Membership.Role.VIEWER))
    for slug in SLUGS:
        html = page(viewer, ada, slug)
        assert f"/t/{ada.pk}/keys/" not in html
        assert f"/t/{ada.pk}/playground/" not in html


def test_an_address_without_a_team_leads_to_the_readers_first_team(client, ada) -> None:
    assert client.get("/docs/")["location"] == f"/t/{ada.pk}/docs/quick-start/"
    assert client.get("/docs/limits/")["location"] == f"/t/{ada.pk}/docs/limits/"
    alone = signed_in(person("nobody@example.com"))
    assert b"no team" in alone.get("/docs/").content.lower()
    client.logout()
    assert client.get("/docs/limits/")["location"] == "/accounts/login/?next=/docs/limits/"


# Tables -------------------------------------------------------------------------------------------------------------


def test_the_limits_page_shows_the_tiers_of_this_instance_and_marks_ones_own(client, ada) -> None:
    rows.tier("Pro")
    rows.tier("Enterprise", requests_per_minute=None)
    shown = text_of(page(client, ada, "limits"))
    assert "Basic this team 60 90,000 10" in shown
    assert "Pro 300 450,000 40" in shown
    assert "Enterprise no limit no limit no limit" in shown


def test_the_models_page_shows_todays_prices_and_a_reason_for_what_is_unknown(client, ada) -> None:
    html = page(client, ada, "models")
    shown = text_of(html)
    assert "retired by its maker on 2020-10-23" in shown
    assert "8,192" in shown
    assert "$30.00" in shown
    assert "$60.00" not in shown
    assert "this model has no price" in shown
    assert f'href="/t/{ada.pk}/playground/?model=gpt-5-mini"' in html


def test_the_roles_table_is_the_policy(client, ada) -> None:
    assert set(tables.ACTIONS) == set(Action)
    html = page(client, ada, "roles")
    table = html[html.index('id="roles"') :].partition("</table>")[0]
    for action, row in zip(Action, table.split("<tr>")[2:], strict=True):
        cells = ["not allowed" not in cell for cell in row.split('<td class="c">')[1:]]
        assert cells == [action in ALLOWED[role] for role in (*Membership.Role.values[::-1], ADMINISTRATOR)], action


def test_the_error_table_holds_every_answer_of_the_gateway() -> None:
    known = {(row.status, kind, code) for row in tables.ERRORS for kind in row.kinds for code in row.codes}
    told = {(told.status, told.kind, told.code or "") for told in map(_told, _failures())}
    assert told <= known
    # What only REST says: an ordinary key that asks for everything, and a parameter that means nothing.
    of_rest = {(403, tables.INVALID, ""), (400, tables.INVALID, "invalid_value")}
    assert rest_errors.BadParameter("limit", "wrong").code == "invalid_value"
    assert {status for status, _, _ in known - of_rest} == {status for status, _, _ in told}


def test_the_error_table_knows_every_code_in_the_gateways_source() -> None:
    known = {code for row in tables.ERRORS for code in row.codes}
    found = set().union(*(_codes(path) for path in (ROOT / "usage" / "proxy").glob("*.py")))
    assert found
    assert found - known == set()


def _told(error: Exception) -> refusals.Told:
    return refusals.tell(error, method="POST", path="/v1/chat/completions", model="gpt-4")


def _failures() -> list[Exception]:
    """One of each kind that refusals.EXPECTED lists, with what each needs; several where one kind has several faces."""
    scope = Limiter(lambda: 0).scope("team", 1, 60, None, None)
    special: dict[type[Exception], list[Exception]] = {
        BadCredentials: [BadCredentials(""), BadCredentials("sk-wrong")],
        BadCall: [BadCall("no JSON"), BadCall("missing", "messages", "missing_required_parameter")],
        UnknownModel: [UnknownModel("gpt-0")],
        ContextLengthExceeded: [ContextLengthExceeded(8192, 9000, 0)],
        WrongMethod: [WrongMethod("POST")],
        NoHeadroom: [NoHeadroom(scope, name, 60, 60, 1, 10**9, False) for name in ("requests", "tokens", "concurrent")],
        ProviderRefused: [ProviderRefused(status, b"{}", "") for status in (401, 403)],
        Unreachable: [Unreachable("no", code, was_sent=False) for code in ("upstream_unreachable", "upstream_timeout")],
        BrokenStream: [BrokenStream("cut", "upstream_broke_off")],
    }
    made = [special.get(kind) or [kind("it")] for kind in refusals.EXPECTED]
    return [*(error for errors in made for error in errors), RuntimeError("a fault of ours")]


def _codes(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            at = CODES_AT.get(name)
            if at is not None and len(node.args) > at:
                found |= {each.value for each in ast.walk(node.args[at]) if isinstance(each, ast.Constant)}
    return {code for code in found if isinstance(code, str)}


# Samples ------------------------------------------------------------------------------------------------------------


def test_samples_have_the_address_of_the_request_or_the_one_that_the_administrator_said(client, ada) -> None:
    assert "http://localhost:9/v1" in page(client, ada, "quick-start", headers={"host": "localhost:9"})
    InstanceSettings.objects.create(pk=1, public_url="https://llm.example.com/gateway/v1/")
    shown = page(client, ada, "quick-start")
    assert "https://llm.example.com/gateway/v1" in shown
    assert "/v1/v1" not in shown
    # What a shell would take for a command is not pasted into one.
    InstanceSettings.objects.update(public_url="https://llm.example.com/$(reboot)")
    assert "reboot" not in page(client, ada, "quick-start")


def test_samples_name_a_model_that_is_served_and_that_the_key_may_use() -> None:
    request = RequestFactory().get("/", headers={"host": "localhost"})
    filling = snippets.filling_of(request)
    assert (filling.model, filling.fallback_model) == ("gpt-5-mini", "gpt-4")
    assert filling.embedding_model == "text-embedding-3-small"
    assert snippets.filling_of(request, allowed=["gpt-4"]).model == "gpt-4"


def test_titles_are_said_once() -> None:
    assert len({str(each.title) for each in PAGES}) == len(PAGES)
