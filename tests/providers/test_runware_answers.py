"""What each of Runware's codes and statuses means, a line a case, without a server."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, ProviderAnswer, Refused, Stopped
from darkroom.domain.retry_after import read_retry_after
from darkroom.providers.runware_answers import Asked, Reply, read_account, read_picture

TASK = UUID("39d7207a-87ef-4c93-8082-1431f9c1dc97")
ASKED = Asked(task=TASK, model="google:nano-banana@2.1", key="a-secret-key")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

FINAL, PASSING_REFUSAL, STOPPED, TRANSIENT, MISSED = "final", "refused", "stopped", "transient", "missed"


def meaning(status: int, body: object) -> str:
    """The class of an answer, by the names above."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        answer = read_picture(Reply(status, raw), ASKED, jitter=0)
    except ProviderUnavailable:
        return TRANSIENT
    if isinstance(answer, Refused):
        return FINAL if answer.final else PASSING_REFUSAL
    return type(answer).__name__.lower()


def coded(code: object, status: int = 400, **more: object) -> str:
    return meaning(status, {"errors": [{"code": code, "message": "words", "taskUUID": str(TASK), **more}]})


@pytest.mark.parametrize(
    ("code", "means"),
    [
        ("invalidApiKey", STOPPED),
        ("missingApiKey", STOPPED),
        ("INVALID_API_KEY", STOPPED),
        ("unauthorized", STOPPED),
        ("insufficientPermissions", STOPPED),
        ("accountSuspended", STOPPED),
        ("organizationDisabled", STOPPED),
        ("insufficientCredits", STOPPED),
        ("insufficientBalance", STOPPED),
        ("paymentRequired", STOPPED),
        ("quotaExceeded", STOPPED),
        ("invalidModel", STOPPED),
        ("modelNotFound", STOPPED),
        ("contentPolicyViolation", PASSING_REFUSAL),
        ("content_policy_violation", PASSING_REFUSAL),
        ("promptBlocked", PASSING_REFUSAL),
        ("imageBlocked", PASSING_REFUSAL),
        ("providerContentPolicyViolation", PASSING_REFUSAL),
        ("invalidProviderContent", PASSING_REFUSAL),
        ("contentModeration", PASSING_REFUSAL),
        ("nsfwContentDetected", PASSING_REFUSAL),
        ("invalidParameter", FINAL),
        ("invalidWidth", FINAL),
        ("missingParameter", FINAL),
        ("missingPositivePrompt", FINAL),
        ("unsupportedDimensions", FINAL),
        ("unsupported", FINAL),
        ("incompatibleParameters", FINAL),
        ("rateLimitExceeded", TRANSIENT),
        ("providerRateLimitExceeded", TRANSIENT),
        ("tooManyRequests", TRANSIENT),
        ("timeout", TRANSIENT),
        ("requestTimeout", TRANSIENT),
        ("timeoutProvider", TRANSIENT),
        ("providerInternalError", TRANSIENT),
        ("providerInsufficientCredits", TRANSIENT),
        ("providerQuotaExceeded", TRANSIENT),
        ("providerInvalidApiKey", TRANSIENT),
        ("internalServerError", TRANSIENT),
        ("inferenceError", TRANSIENT),
        ("noAvailableServer", TRANSIENT),
        ("downloadFailed", TRANSIENT),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_known_code_decides_whatever_the_status(code: str, means: str, status: int) -> None:
    assert coded(code, status) == means


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (200, MISSED),
        (204, MISSED),
        (301, STOPPED),
        (400, FINAL),
        (401, STOPPED),
        (402, STOPPED),
        (403, STOPPED),
        (404, STOPPED),
        (405, STOPPED),
        (408, TRANSIENT),
        (409, TRANSIENT),
        (413, FINAL),
        (422, FINAL),
        (425, TRANSIENT),
        (429, TRANSIENT),
        (499, TRANSIENT),
        (500, TRANSIENT),
        (502, TRANSIENT),
        (503, TRANSIENT),
        (504, TRANSIENT),
        (524, TRANSIENT),
    ],
)
def test_the_status_decides_where_the_code_says_nothing(status: int, means: str) -> None:
    assert coded("somethingNeverSeenBefore", status) == means
    assert coded(None, status) == means
    assert meaning(status, b"") == means
    if status >= 300:
        assert meaning(status, b"<html>") == means


@pytest.mark.parametrize("code", ["invalidResponse", "missingResult", "unsupportedState"])
@pytest.mark.parametrize("status", [500, 503, 408])
def test_a_server_that_stumbles_is_no_judge_of_the_request(code: str, status: int) -> None:
    assert coded(code, status) == TRANSIENT


def test_a_spent_quota_behind_a_rate_limit_s_status_is_a_rate_limit() -> None:
    assert coded("quotaExceeded", 429) == TRANSIENT
    assert coded("insufficientCredits", 429) == STOPPED


@pytest.mark.parametrize("parameter", ["model", "width", None, 5])
def test_what_is_wrong_with_the_model_is_a_setting_s_fault(parameter: object) -> None:
    assert coded("invalidValue", parameter=parameter) == (STOPPED if parameter == "model" else FINAL)
    assert coded("timeout", parameter=parameter) == TRANSIENT


def test_an_error_of_another_task_does_not_count_and_one_of_no_task_does() -> None:
    other = {"code": "invalidWidth", "taskUUID": "00000000-0000-4000-8000-000000000000"}
    assert meaning(200, {"errors": [other]}) == MISSED
    assert meaning(200, {"errors": [other, {"code": "invalidApiKey"}]}) == STOPPED
    assert meaning(200, {"errors": [other, {"code": "timeout", "taskUUID": str(TASK).upper()}]}) == TRANSIENT


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"errors": None}, {"errors": "text"}, {"errors": [None, 1]}, {"error": True}, {"errors": [{}]}),
        {"errors": [{"code": 5, "message": ["a"], "parameter": {"b": 1}, "taskUUID": 7}]},
        {"errors": [{"code": "long " * 999, "message": "long " * 5000, "parameter": "long " * 999}]},
        *([], [1, 2], "text", None, 5),
    ],
)
@pytest.mark.parametrize("status", [204, 301, 400, 404, 429, 500])
def test_an_error_body_of_any_shape_is_read_and_kept_short(status: int, body: object) -> None:
    answer: ProviderAnswer | ProviderUnavailable
    try:
        answer = read_picture(Reply(status, json.dumps(body).encode()), ASKED, jitter=1)
    except ProviderUnavailable as problem:
        answer = problem
    assert not isinstance(answer, Generated)
    assert len(answer.reason) < 600
    assert "\n" not in answer.reason


@pytest.mark.parametrize("place", ["code", "message", "parameter"])
@pytest.mark.parametrize("before", [0, 270, 290, 299])
def test_the_key_is_taken_out_before_words_are_cut(place: str, before: int) -> None:
    error = {"code": "invalidApiKey", place: "x" * before + "a-secret-key and more " * 20}
    answer = read_picture(Reply(401, json.dumps({"errors": [error]}).encode()), ASKED, jitter=0)
    assert isinstance(answer, Stopped)
    assert "a-secret" not in answer.reason


@pytest.mark.parametrize(
    ("jitter", "seconds"),
    [(0.0, 10.0), (0.5, 12.5), (1.0, 15.0)],
)
def test_a_wait_is_at_least_what_is_asked_and_half_more_at_most(jitter: float, seconds: float) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        read_picture(Reply(429, b"", timedelta(seconds=10)), ASKED, jitter)
    assert caught.value.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("inf", 86_400.0),
        ("9" * 400, 86_400.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 12:00:30", 30.0),
        ("Sat, 21 Nov 2026 11:59:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_a_retry_after_header_is_seconds_or_a_date_and_a_day_at_most(header: str | None, seconds: float | None) -> None:
    wait = read_retry_after(header, NOW)
    assert (wait and wait.total_seconds()) == seconds


@pytest.mark.parametrize("balance", [12.5, 1, None, "many"])
def test_an_account_that_is_described_has_nothing_wrong(balance: object) -> None:
    body = {"data": [{"taskUUID": str(TASK), "balance": balance}]}
    assert read_account(Reply(200, json.dumps(body).encode()), ASKED) is None
