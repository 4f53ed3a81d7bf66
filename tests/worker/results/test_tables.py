import csv
from dataclasses import replace

import pytest

from lfads_worker.results import tables

NINE = (
    "learning_rate,dropout_rate,coordinated_dropout_rate,l2_generator,l2_controller,"
    "l2_ic_encoder,l2_ci_encoder,kl_initial_condition,kl_inferred_inputs"
)


def lines(path):
    return path.read_text().splitlines()


def test_population_has_one_row_a_member_and_generation(tmp_path, history):
    tables.write_population(tmp_path / "population.csv", history)

    assert lines(tmp_path / "population.csv") == [
        "generation,member,cohort,parent,score,smoothed_valid_nll,valid_nll,valid_nll_held_out,"
        "train_nll,train_loss,epochs_trained",
        "0,0,0,0,0.5,0.5,3.0,,2.0,1.0,3",
        "0,1,0,1,,,3.0,,2.0,1.0,3",
        "0,2,1,2,0.25,0.25,3.0,,2.0,1.0,3",
        "0,3,1,3,0.375,0.375,3.0,,2.0,1.0,3",
        "1,0,0,0,0.4375,0.4375,3.0,,2.0,1.0,5",
        "1,1,0,2,0.21875,0.21875,3.0,,2.0,1.0,5",
        "1,2,1,2,0.1875,0.1875,3.0,,2.0,1.0,5",
        "1,3,1,3,0.3125,0.3125,3.0,,2.0,1.0,5",
    ]


def test_hyperparameters_have_all_nine_columns_searched_or_not(tmp_path, history):
    tables.write_hyperparameters(tmp_path / "hyperparameters.csv", history)

    found = lines(tmp_path / "hyperparameters.csv")
    assert found[0] == f"generation,member,{NINE}"
    assert found[1] == "0,0,0.001,0.5,0.3,0.0001,0.0001,0.0,0.0,1e-05,1e-05"
    assert len(found) == 1 + 2 * 4


def test_decisions_tell_who_copied_whom_and_what_changed(tmp_path, history):
    tables.write_decisions(tmp_path / "decisions.csv", history)

    assert lines(tmp_path / "decisions.csv") == [
        "generation,member,source,exploited,forced,score,source_score,"
        "old_learning_rate,new_learning_rate,old_dropout_rate,new_dropout_rate",
        "0,0,0,false,false,0.5,0.5,0.001,0.001,0.5,0.5",
        "0,1,2,true,true,,0.25,0.002,0.0035,0.5,0.5",
        "0,2,2,false,false,0.25,0.25,0.003,0.003,0.5,0.5",
        "0,3,3,false,false,0.375,0.375,0.004,0.004,0.5,0.5",
    ]


def test_a_run_of_one_generation_has_an_empty_table_of_decisions(tmp_path, history):
    single = replace(history, generations=(replace(history.generations[0], decisions=()),))

    tables.write_decisions(tmp_path / "decisions.csv", single)

    assert len(lines(tmp_path / "decisions.csv")) == 1


def test_training_log_follows_one_member_through_all_epochs(tmp_path, history):
    tables.write_training_log(tmp_path / "member_001.csv", history, 1)

    found = lines(tmp_path / "member_001.csv")
    assert found[0] == (
        "epoch,generation,parent,train_loss,train_nll,valid_nll,valid_nll_held_out,smoothed_valid_nll,"
        "kl_initial_condition_nats,kl_inferred_inputs_nats,l2,gradient_norm,kl_ramp,l2_ramp,"
        f"{NINE}"
    )
    tail = "0.002,0.5,0.3,0.0001,0.0001,0.0,0.0,1e-05,1e-05"
    assert found[1:] == [
        f"1,0,1,1.0,2.0,3.0,,,4.0,5.0,6.0,7.0,0.0,0.5,{tail}",
        f"2,0,1,1.0,2.0,3.0,,,4.0,5.0,6.0,7.0,0.5,0.5,{tail}",
        f"3,0,1,1.0,2.0,3.0,,,4.0,5.0,6.0,7.0,1.0,0.5,{tail}",
        f"4,1,2,1.0,2.0,3.0,,0.21875,4.0,5.0,6.0,7.0,1.0,0.5,{tail}",
        f"5,1,2,1.0,2.0,3.0,,0.21875,4.0,5.0,6.0,7.0,1.0,0.5,{tail}",
    ]


@pytest.mark.parametrize("member", [0, 1, 2, 3])
def test_training_log_takes_the_members_own_row_of_its_cohort(tmp_path, history, member):
    tables.write_training_log(tmp_path / "log.csv", history, member)

    with (tmp_path / "log.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["smoothed_valid_nll"]) == history.generations[-1].population.members[member].score


def test_times_and_workers_have_a_table_of_their_own(tmp_path, history):
    tables.write_timing(tmp_path / "timing.csv", history)

    assert lines(tmp_path / "timing.csv") == [
        "generation,cohort,epochs,cohort_seconds,worker,generation_seconds",
        "0,0,3,1.5,here,4.0",
        "0,1,3,2.5,there,4.0",
        "1,0,2,1.5,here,4.0",
        "1,1,2,2.5,there,4.0",
    ]
