import pytest

from autolfads_spec.output import OutputSpec, RunPaths


@pytest.mark.parametrize("root", ["runs/a", "runs/a/", "gs://lab/runs/a", "gs://lab/runs/a/"])
def test_names_are_below_the_root_however_it_ends(root):
    assert RunPaths(root).rates == f"{root.rstrip('/')}/rates.h5"
    assert OutputSpec(uri=root).paths == RunPaths(root)


def test_the_names_of_a_run():
    paths = RunPaths("r")

    assert paths.rates_matlab == "r/rates.mat"
    assert paths.results == "r/results.json"
    assert paths.population == "r/population.csv"
    assert paths.decisions == "r/decisions.csv"
    assert paths.hyperparameters == "r/hyperparameters.csv"
    assert paths.data_check == "r/data_check.json"
    assert paths.run_yaml == "r/run.yaml"
    assert paths.best_weights == "r/best/weights.npz"
    assert paths.best_settings == "r/best/settings.json"
    assert paths.manifest == "r/manifest.json"
    assert paths.lease == "r/lease.json"
    assert paths.cost == "r/cost.json"
    assert paths.timing == "r/timing.csv"
    assert paths.report == "r/report/report.html"
    assert paths.training_log(7) == "r/training_logs/member_007.csv"
    assert paths.generation_record(12) == "r/generations/000012.json"


def test_names_without_a_root_are_what_a_store_takes():
    assert RunPaths("").manifest == "manifest.json"
    assert RunPaths("").generation_record(3) == "generations/000003.json"


def test_no_two_drivers_write_the_same_name():
    paths = RunPaths("r")
    numbers = [(g, a, e) for g in range(3) for a in range(1, 4) for e in range(1, 4)]
    names = {
        *(paths.checkpoint(g, cohort, a, e) for g, a, e in numbers for cohort in range(3)),
        *(paths.best_checkpoint(*number) for number in numbers),
        *(paths.generation_log(*number) for number in numbers),
    }

    assert len(names) == 27 * 5
    assert paths.checkpoint(12, 3, 1, 4) == "r/checkpoints/000012/cohort_003-attempt_01-driver_0004.npz"
