from autolfads_spec.status import Condition, ConditionType, Phase, Reason, RunStatus


def test_the_phases_of_a_run():
    assert [phase.value for phase in Phase] == [
        "Pending",
        "Validating",
        "Queued",
        "Provisioning",
        "Starting",
        "Running",
        "Pausing",
        "Suspended",
        "Finalizing",
        "Succeeded",
        "Failed",
        "Deleting",
    ]
    assert [phase for phase in Phase if phase.is_terminal] == [Phase.SUCCEEDED, Phase.FAILED]


def test_a_status_is_dumped_as_kubernetes_writes_it_and_read_back():
    condition = Condition(type=ConditionType.COMPLETE, status="True", reason=Reason.SUCCEEDED)
    status = RunStatus(phase=Phase.RUNNING, conditions=(condition,), observed_generation=2)

    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert dumped == {
        "observedGeneration": 2,
        "phase": "Running",
        "conditions": [{"type": "Complete", "status": "True", "reason": "Succeeded", "message": ""}],
    }
    assert RunStatus.model_validate(dumped) == status


def test_an_empty_status_is_a_status():
    assert RunStatus().model_dump(exclude_none=True) == {}
