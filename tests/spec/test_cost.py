import pytest
from pydantic import ValidationError

from autolfads_spec.cost import AttemptCost, CostRecord, Metered

RECORD = CostRecord(
    currency="USD",
    price_table="ours us-central1 2030-01-31",
    as_of="2030-02-01T10:00:00+00:00",
    amount=1.25,
    gpu_hours=2.5,
    metered=(
        Metered(key="node/a", kind="g2-standard-8 Spot", attempt=2, price=0.5, gpus=0),
        Metered(key="pod/b", kind="head", attempt=1, price=0.1, gpus=0, until="2030-02-01T09:00:00+00:00"),
    ),
    attempts=(AttemptCost(number=1, amount=0.25, gpu_hours=0.5),),
)


def test_what_is_written_is_read_back():
    assert CostRecord.model_validate_json(RECORD.to_bytes()) == RECORD


def test_what_is_gone_is_not_present():
    assert [entry.key for entry in RECORD.present] == ["node/a"]


def test_a_record_without_anything_is_the_first():
    assert CostRecord.model_validate_json(b"{}") == CostRecord()


@pytest.mark.parametrize("change", [(b"autolfads cost 1", b"autolfads cost 2"), (b"1.25", b"-1.25")])
def test_another_format_or_an_impossible_sum_is_refused(change):
    with pytest.raises(ValidationError):
        CostRecord.model_validate_json(RECORD.to_bytes().replace(*change))
