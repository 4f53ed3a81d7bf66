"""What the environment may say, and what is answered when it says something else."""

import pytest

from autolfads_operator import settings
from autolfads_operator.settings import OperatorSettings
from autolfads_operator.terms import Terms
from autolfads_spec import SpecError


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in OperatorSettings.model_fields:
        monkeypatch.delenv(f"AUTOLFADS_{name.upper()}", raising=False)


def test_every_setting_says_what_it_is_for():
    undocumented = [name for name, field in OperatorSettings.model_fields.items() if not field.description]

    assert undocumented == []


def test_without_any_variable_all_namespaces_are_watched():
    chosen = settings.load()

    assert chosen.namespaces == ()
    assert chosen.leader_election


def test_settings_hold_all_that_the_core_asks_for():
    chosen = settings.load()

    assert [name for name in vars(Terms) if not name.startswith("_") and not hasattr(chosen, name)] == []


def test_namespaces_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("AUTOLFADS_NAMESPACES", "lab-a, lab-b,")

    assert settings.load().namespaces == ("lab-a", "lab-b")


def test_worker_environment_is_a_json_object(monkeypatch):
    monkeypatch.setenv("AUTOLFADS_WORKER_ENV", '{"STORAGE_EMULATOR_HOST": "a:1"}')

    assert settings.load().worker_env == {"STORAGE_EMULATOR_HOST": "a:1"}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("NAMESPACES", "Lab A", "NAMESPACES: wanted names of namespaces", id="no name"),
        pytest.param("WORKER_ENV", "a=1", "WORKER_ENV: wanted a JSON object", id="no JSON"),
        pytest.param("POLL_RUNNING_SECONDS", "0", "POLL_RUNNING_SECONDS: wanted another value", id="zero"),
        pytest.param("HEALTH_PORT", "http", "HEALTH_PORT: wanted another value", id="no number"),
        pytest.param("PRICE_TABLE", "/no/such", "PRICE_TABLE: /no/such: wanted a price table", id="no table"),
        pytest.param("CLUSTER", "atlas", "CLUSTER: wanted another value", id="no path of a cluster"),
        pytest.param("INSTALL_ID", "Lab A", "INSTALL_ID: wanted another value", id="no label value"),
        pytest.param("LEASE_SECONDS", "4", "lease_give_up_seconds < lease_seconds", id="lease too short"),
    ],
)
def test_a_bad_value_is_told_with_the_name_of_its_variable(monkeypatch, name, value, told):
    monkeypatch.setenv(f"AUTOLFADS_{name}", value)

    with pytest.raises(SpecError, match=told):
        settings.load()


def test_a_misspelt_setting_is_noticed_and_what_kubernetes_adds_is_not():
    found = settings.misspelt(
        {"AUTOLFADS_WORKER_IMAGES": "a", "AUTOLFADS_OPERATOR_SERVICE_HOST": "10.0.0.1", "HOME": "/"}
    )

    assert found == {"AUTOLFADS_WORKER_IMAGES": "AUTOLFADS_WORKER_IMAGE"}
