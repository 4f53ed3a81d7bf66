import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator.manifests import names
from autolfads_operator.observed import CustomResource

RUN_NAME = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)


@given(run=RUN_NAME, attempt=st.integers(1, 99_999))
def test_names_are_short_enough_for_kuberay_and_different_for_each_attempt(run, attempt):
    name = names.attempt_name(run, attempt)

    assert len(name) <= 47
    assert name != names.attempt_name(run, attempt + 1)
    assert len(name) + len("-xxxxx") <= 53  # KubeRay adds this for the cluster, and -head-svc for a service


def test_attempts_have_two_digits():
    assert names.attempt_name("reach", 1) == "reach-a01"
    assert names.attempt_name("reach", 123) == "reach-a123"


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="wanted a name of at most 47"):
        names.attempt_name("x" * 60, 1)


@given(attempt=st.integers(1, 9999))
def test_the_attempt_is_read_back_from_labels(attempt):
    assert names.attempt_of(names.labels("reach", "uid", attempt)) == attempt


@pytest.mark.parametrize("labels", [{}, {names.ATTEMPT_LABEL: "first"}], ids=["none", "no number"])
def test_labels_without_an_attempt_say_so(labels):
    assert names.attempt_of(labels) is None


def test_two_runs_of_one_name_are_told_apart_by_uid():
    assert names.selector("uid-1") != names.selector("uid-2")
    label, _, value = names.selector("uid-1").partition("=")
    assert names.labels("reach", "uid-1", 1)[label] == value


def test_everything_goes_with_its_run_and_keeps_it_from_nothing(make_run):
    from datetime import UTC, datetime

    run = make_run()
    resource = CustomResource("reach", "lab", "uid-1", 1, datetime(2030, 1, 1, tzinfo=UTC), run)

    owner = names.metadata(resource, run, 1)["ownerReferences"][0]

    assert owner["uid"] == "uid-1"
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is False
