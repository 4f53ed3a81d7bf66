"""What a user is told when the operator does not get on."""

import datetime

import pytest

from autolfads_operator.errors import RefusedError, UnavailableError
from autolfads_operator.trouble import with_trouble
from autolfads_spec.errors import DeniedError, StoreError
from autolfads_spec.status import Condition, ConditionType, Phase, Reason, RunStatus

NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def condition(kind, status="True", since="2029-01-01T00:00:00Z"):
    return Condition(type=kind, status=status, reason=Reason.AS_EXPECTED, last_transition_time=since)


def trouble(status, error):
    found = with_trouble(status, error, 4, NOW)
    return found, next(each for each in found.conditions if each.type is ConditionType.RECONCILING)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(DeniedError("m"), Reason.STORAGE_DENIED, id="no rights in the bucket"),
        pytest.param(StoreError("m"), Reason.STORAGE_UNAVAILABLE, id="no bucket"),
        pytest.param(UnavailableError("m"), UnavailableError.reason, id="no Kubernetes"),
        pytest.param(RefusedError("m"), RefusedError.reason, id="a webhook"),
        pytest.param(KeyError("m"), Reason.UNKNOWN, id="our mistake"),
    ],
)
def test_the_reason_is_of_the_closed_list(error, reason):
    assert trouble(RunStatus(), error)[1].reason is reason


def test_everything_else_stays_as_it_was():
    status = RunStatus(phase=Phase.RUNNING, attempt=2, conditions=(condition(ConditionType.ACCEPTED),))
    found, told = trouble(status, StoreError("wanted, found, do"))

    assert (found.phase, found.attempt, found.conditions[0]) == (Phase.RUNNING, 2, status.conditions[0])
    assert (told.status, told.message, told.observed_generation) == ("True", "wanted, found, do", 4)


def test_the_time_is_of_the_change_and_not_of_the_last_failure():
    since = "2029-01-01T00:00:00Z"
    lasting = RunStatus(conditions=(condition(ConditionType.RECONCILING, "True", since),))
    begun = RunStatus(conditions=(condition(ConditionType.RECONCILING, "False", since),))

    assert trouble(lasting, StoreError("m"))[1].last_transition_time == since
    assert trouble(begun, StoreError("m"))[1].last_transition_time == "2030-01-01T12:00:00Z"


def test_what_was_not_meant_for_users_is_left_to_the_log():
    told = trouble(RunStatus(), KeyError("secret"))[1]

    assert "secret" not in told.message
    assert "operator's log" in told.message
