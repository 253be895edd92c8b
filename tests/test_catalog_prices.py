"""The price book as an administrator sees it, and setting a price through its form."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage import catalog, price_acts
from usage.dashboard.catalog.price_form import FROM_NOW, FROM_THEN
from usage.dashboard.catalog.steps import steps_of
from usage.models import Price, PriceVersion, Provider, Route
from usage.price_acts import Priced
from usage.reports import price_book

pytestmark = pytest.mark.django_db
SET = "/instance/prices/set/?book=openai&model=gpt-4"
HISTORY = "/instance/prices/history/?book=openai&model=gpt-4"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any) -> None:
    forget_static_files(settings)


@pytest.fixture
def grace() -> Client:
    return signed_in(person("grace@example.com", is_staff=True))


@pytest.fixture
def listed() -> PriceVersion:
    """The list price of gpt-4, twice as much above 100,000 tokens of prompt."""
    version = PriceVersion.objects.create(
        price_book="openai", model="gpt-4", valid_from=LONG_AGO, source="genai-prices 1"
    )
    steps = [("input", 0, 30), ("input", 100_000, 60), ("output", 0, 60)]
    for name, above, usd in steps:
        Price.objects.create(version=version, token_class=name, above_input_tokens=above, usd_per_million=usd)
    return version


def text_of(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def error_of(field: str, answer: Any) -> str:
    found = re.search(rf'id="id_{field}_error">([^<]*)<', answer.content.decode())
    return found[1] if found else ""


def form(client: Client, **fields: str) -> dict[str, str]:
    """As it stands on the page, with these fields changed."""
    page = client.get(SET).content.decode()
    stands: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        found = {name: re.search(rf'\b{name}="([^"]*)"', tag) for name in ("name", "value", "type")}
        if found["name"] and found["value"] and found["type"] and found["type"][1] in ("text", "hidden"):
            stands[found["name"][1]] = found["value"][1]
    return stands | {"begins": FROM_NOW} | fields


def test_the_form_stands_at_the_present_price_and_sets_another_exactly_as_typed(
    grace: Client, listed: PriceVersion
) -> None:
    sent = form(grace)
    stands = {name: sent[name] for name in ("input_0", "input_1", "above_1", "output_0")}
    assert stands == {"input_0": "30", "input_1": "60", "above_1": "100000", "output_0": "60"}
    sent |= {"input_0": "0.000000001", "cached_0": "$1.25", "above_1": "200,000", "note": "committed <b>use</b>"}
    answer = grace.post(SET, sent)
    assert answer["location"] == HISTORY.replace("/?", "/?")
    version = PriceVersion.objects.get(source=PriceVersion.BY_HAND)
    prices = set(version.prices.values_list("token_class", "above_input_tokens", "usd_per_million"))
    assert prices == {
        ("input", 0, Decimal("0.000000001")),
        ("cached", 0, Decimal("1.25")),
        ("output", 0, Decimal(60)),
        ("input", 200_000, Decimal(60)),
    }
    listed.refresh_from_db()
    assert listed.valid_to == version.valid_from
    assert version.created_by_id is not None
    seen = grace.get(HISTORY).content.decode()
    assert "committed &lt;b&gt;use&lt;/b&gt;" in seen
    assert "$0.000000001" in seen
    grace.post(SET, sent)
    assert PriceVersion.objects.filter(source=PriceVersion.BY_HAND).count() == 1
    assert AuditEntry.objects.filter(action="price.set").count() == 1


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("input_0", "", "This field is required."),
        ("input_0", "-1", "greater than or equal to 0"),
        ("input_0", "NaN", "Enter a number."),
        ("output_0", "Infinity", "Enter a number."),
        ("output_0", "1e308", "less than or equal to 1000000"),
        ("output_0", "0.0000000001", "no more than 9 decimal places"),
        ("cached_1", "9" * 400, "less than or equal to 1000000"),
        ("audio_output_0", "\N{FULLWIDTH DIGIT ONE}x", "Enter a number."),
        ("above_1", "0", "greater than or equal to 1"),
        ("above_1", "", "Above how many?"),
        ("above_1", "9" * 30, "less than or equal to"),
        ("above_2", "5", "No price stands below it."),
        ("note", "x" * 301, "at most 300 characters"),
    ],
)
def test_a_wrong_number_is_told_beside_its_field_and_sets_nothing(
    grace: Client, field: str, value: str, said: str
) -> None:
    answer = grace.post(SET, form(grace, **{field: value}))
    assert said in error_of(field, answer)
    assert "is-invalid" in answer.content.decode()
    assert PriceVersion.objects.count() == 1


@pytest.mark.usefixtures("listed")
def test_the_same_threshold_twice_is_refused(grace: Client) -> None:
    answer = grace.post(SET, form(grace, above_2="100000", output_2="7"))
    assert "there twice" in error_of("above_2", answer)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("starts_at", "said"),
    [
        ("", "From when on?"),
        ("2026-02-30T10:00", "Enter a valid date/time."),
        ("2020-01-01T00:00", "This time has passed: calls that began then are priced already."),
        ("9999999-01-01T00:00", "Enter a valid date/time."),
    ],
)
def test_a_price_begins_in_the_future_or_not_at_all(grace: Client, starts_at: str, said: str) -> None:
    answer = grace.post(SET, form(grace, begins=FROM_THEN, starts_at=starts_at))
    assert said in error_of("starts_at", answer)
    assert PriceVersion.objects.count() == 1


def test_a_price_that_is_to_come_is_shown_and_can_be_withdrawn_until_it_is_known(
    grace: Client, listed: PriceVersion
) -> None:
    begins = (timezone.now() + timedelta(days=3)).replace(second=0, microsecond=0)
    sent = form(grace, begins=FROM_THEN, starts_at=f"{begins:%Y-%m-%dT%H:%M}", input_0="20")
    grace.post(SET, sent)
    version = PriceVersion.objects.get(source=PriceVersion.BY_HAND)
    assert version.valid_from == begins
    assert "begins at this very moment" in error_of("starts_at", grace.post(SET, sent | {"ticket": "another"}))
    seen = text_of(grace.get(HISTORY))
    assert "Scheduled" in seen
    assert "Over time" in seen
    assert "changes" in text_of(grace.get("/instance/prices/?state=coming"))
    assert "Withdraw this price?" in text_of(grace.get(f"/instance/prices/{version.pk}/withdraw/"))
    grace.post(f"/instance/prices/{version.pk}/withdraw/")
    assert list(PriceVersion.objects.all()) == [listed]
    listed.refresh_from_db()
    assert listed.valid_to is None
    # What is in force stays, whoever asks.
    assert grace.get(f"/instance/prices/{listed.pk}/withdraw/").status_code == 404
    grace.post(f"/instance/prices/{listed.pk}/withdraw/")
    assert PriceVersion.objects.exists()


@pytest.mark.usefixtures("listed")
def test_a_version_that_came_into_force_stays_in_the_history_as_it_was(grace: Client) -> None:
    an_hour_ago = timezone.now() - timedelta(hours=1)
    price_acts.set_price(None, Priced("openai", "gpt-4"), {"input": [(0, Decimal(20))]}, None, "", an_hour_ago)
    seen = text_of(grace.get(HISTORY))
    assert re.search(r"In force Input \$20\.00 administrator", seen)
    assert re.search(r"Past Input \$30\.00 Input above 100,000 \$60\.00 Output \$60\.00 genai-prices 1", seen)
    assert "administrator" in text_of(grace.get("/instance/prices/?state=hand"))


def test_what_is_routed_to_and_has_no_price_is_in_the_book_as_unknown(grace: Client) -> None:
    ours = Provider.objects.create(name="Ours", base_url="https://93.184.215.14/v1", price_book="in-house")
    Route.objects.create(model=rows.embedding_model(), provider=ours, upstream_model="bge-m3")
    assert "No price is in force" in text_of(grace.get("/instance/prices/?state=unknown&q=bge"))
    seen = text_of(grace.get("/instance/prices/history/?book=in-house&model=bge-m3"))
    assert "The price book in-house has none for this model." in seen


@pytest.mark.parametrize(
    "query",
    ["", "?book=openai", f"?book=openai&model={'x' * 201}", f"?book={'x' * 65}&model=m", "?book=a&model=%00",
     "?book=openai&model=gpt-4&tier=nonsense"],
)  # fmt: skip
def test_what_can_be_no_model_is_not_found(grace: Client, query: str) -> None:
    assert grace.get(f"/instance/prices/history/{query}").status_code == 404


@pytest.mark.usefixtures("listed")
def test_the_csv_has_every_version_with_its_digits_and_no_formulas(grace: Client) -> None:
    price_acts.set_price(
        None, Priced("openai", "=cmd"), {"input": [(0, Decimal("0.1"))]}, None, "=1+1", timezone.now() - timedelta(1)
    )
    answer = grace.get("/instance/prices/versions.csv?book=openai")
    one = grace.get("/instance/prices/versions.csv?book=openai&model=gpt")
    assert b"".join(one.streaming_content).count(b"\n") == 1  # type: ignore[attr-defined]
    body = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(body)))
    assert [
        (line["model"], line["token_class"], line["above_input_tokens"], line["usd_per_million"]) for line in lines
    ] == [
        ("'=cmd", "input", "0", "0.1"),
        ("gpt-4", "input", "0", "30"),
        ("gpt-4", "input", "100000", "60"),
        ("gpt-4", "output", "0", "60"),
    ]
    assert lines[0]["note"] == "'=1+1"


def test_the_book_of_the_whole_catalogue_costs_three_queries_and_each_history_two(
    grace: Client, django_assert_num_queries: Any
) -> None:
    catalog.seed_models()
    catalog.seed_prices()
    grace.get("/instance/prices/")
    with django_assert_num_queries(6):
        seen = text_of(grace.get("/instance/prices/?q=gpt&state=list&page=99"))
    assert "genai-prices" in seen
    with django_assert_num_queries(5):
        grace.get("/instance/prices/history/?book=openai&model=gpt-5.6-luna")
    with django_assert_num_queries(5):
        grace.get("/instance/prices/set/?book=openai&model=gpt-5.6-luna")


def test_the_drawing_goes_down_where_the_price_does() -> None:
    catalog.seed_prices_of([("openai", "gpt-5.6-luna")])
    now = datetime(2026, 11, 23, tzinfo=UTC)
    standard = price_book.history("openai", "gpt-5.6-luna", now)[0]
    steps = steps_of(standard.versions, now)
    assert steps is not None
    (_, line), _ = steps.lines
    before, *_, after = [float(point.split(",")[1]) for point in line.split()]
    assert before < after
    assert 0 < float(steps.marks[0][0]) < float(steps.now_x) < steps.width
    assert steps_of(standard.versions[:1], now) is None
