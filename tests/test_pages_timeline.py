"""The bars of a receipt: what a call spent its time on."""

from usage.dashboard import timeline
from usage.models import UsageAttempt, UsageEvent


def a_call(**fields: object) -> UsageEvent:
    known = {"served_model": "gpt-4", "provider": "OpenAI", "status": 200, "latency_us": 2_000_000}
    return UsageEvent(**(known | fields))


def a_try(model: str, status: int | None, latency_us: int, error_code: str = "") -> UsageAttempt:
    return UsageAttempt(model=model, provider="OpenAI", status=status, latency_us=latency_us, error_code=error_code)


def test_a_streamed_call_waits_for_its_first_token_and_then_answers() -> None:
    drawn = timeline.of_call(a_call(ttft_us=500_000), [])
    assert drawn is not None
    (bar,) = drawn.bars
    assert (bar.x, bar.waiting_width, bar.split, bar.answer_width) == ("0.00%", "25.00%", "25.00%", "75.00%")
    assert bar.note == "500 ms to the first token, 1.50 s of answer"
    assert drawn.has_first_token


def test_a_call_without_a_stream_is_one_bar() -> None:
    drawn = timeline.of_call(a_call(), [])
    assert drawn is not None
    assert [(bar.waiting_width, bar.answer_width, bar.note) for bar in drawn.bars] == [("0%", "100.00%", "2.00 s")]
    assert not drawn.has_first_token


def test_a_fallback_begins_after_what_failed_and_the_wait_between_is_left_blank() -> None:
    tries = [a_try("gpt-4", 503, 400_000, "upstream_503"), a_try("gpt-4o", 200, 1_500_000)]
    drawn = timeline.of_call(a_call(served_model="gpt-4o", ttft_us=1_000_000), tries)
    assert drawn is not None
    failed, answered = drawn.bars
    assert (failed.is_failed, failed.answer, failed.x, failed.answer_width) == (
        True,
        "503 upstream_503",
        "0.00%",
        "20.00%",
    )
    assert (answered.is_failed, answered.x, answered.split) == (False, "25.00%", "50.00%")


def test_a_late_try_has_its_note_at_its_end() -> None:
    drawn = timeline.of_call(a_call(), [a_try("gpt-4", None, 1_800_000), a_try("gpt-4", 200, 200_000)])
    assert drawn is not None
    assert [(bar.note_is_turned, bar.note_x) for bar in drawn.bars] == [(False, "0.00%"), (True, "100.00%")]


def test_a_failed_call_has_no_answer_and_one_whose_caller_hung_up_has() -> None:
    failed = timeline.of_call(a_call(status=503, ttft_us=500_000), [])
    hung_up = timeline.of_call(a_call(status=499, ttft_us=500_000), [])
    assert failed is not None
    assert hung_up is not None
    assert (failed.has_failed, failed.has_answer, failed.bars[0].answer_width) == (True, False, "100.00%")
    assert (hung_up.has_failed, hung_up.has_answer, hung_up.bars[0].split) == (False, True, "25.00%")


def test_ticks_are_round_and_few() -> None:
    for latency_us, labels in (
        (2_000_000, ["0 s", "0.5 s", "1 s", "1.5 s", "2 s"]),
        (75_654, ["0 s", "20 ms", "40 ms", "60 ms"]),
        (31_450_000, ["0 s", "10 s", "20 s", "30 s"]),
    ):
        drawn = timeline.of_call(a_call(latency_us=latency_us), [])
        assert drawn is not None
        assert [tick.label for tick in drawn.ticks] == labels


def test_nothing_is_drawn_of_a_call_that_was_not_sent_on_or_not_measured() -> None:
    assert timeline.of_call(a_call(provider=""), []) is None
    assert timeline.of_call(a_call(latency_us=None), []) is None
