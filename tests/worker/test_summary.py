from lfads_worker import summary


def results(valid):
    return {
        "stop_reason": "all 3 generations are done",
        "best": {"score": 0.21134, "member": 3, "generation": 2},
        "metrics": {"valid": valid},
        "files": {"run.yaml": {}, "rates.h5": {}, "rates.mat": {}, "population.csv": {}},
    }


def test_what_came_out_of_a_recording():
    valid = {
        "held_in": {"nll": 0.2, "bits_per_spike": 0.31},
        "held_out": {"nll": 0.2, "bits_per_spike": 0.26},
        "forward": None,
        "true_rates": None,
    }

    assert list(summary.of_results(results(valid), "out")) == [
        "done: all 3 generations are done; best score 0.2113 (member 3, generation 2)",
        "validation, neurons: 0.310 bits per spike",
        "validation, held-out neurons: 0.260 bits per spike",
        "results: out (rates.h5, rates.mat, results.json, 2 more)",
    ]


def test_what_came_out_of_spikes_with_known_rates():
    valid = {
        "held_in": {"bits_per_spike": 0.3, "oracle_bits_per_spike": 0.32, "share_of_oracle": 0.94},
        "held_out": None,
        "forward": None,
        "true_rates": {"r2_mean": 0.9, "r2_per_neuron": [0.9], "pooled_squared_pearson": 0.95},
    }

    lines = list(summary.of_results(results(valid), "out"))

    assert lines[1:3] == [
        "validation, neurons: 0.300 bits per spike, 94 % of what the true rates reach",
        "validation, true rates: R² 0.900 (mean over neurons), squared Pearson 0.950 (pooled)",
    ]


def test_gaussian_values_have_no_bits_per_spike():
    valid = {
        "held_in": {"mean_squared_error": 0.5},
        "held_out": None,
        "forward": None,
        "true_rates": None,
    }

    assert len(list(summary.of_results(results(valid), "out"))) == 2


def test_the_size_of_a_run(make_run):
    run = make_run(population={"size": 4, "generations": 1})

    assert summary.size_of(run.spec, 1) == (
        "4 members in 1 cohort, up to 1 generation, 2 hyperparameters searched"
    )


def test_what_rounds_to_zero_has_no_sign():
    valid = {
        "held_in": {"bits_per_spike": -0.0001, "share_of_oracle": -0.001},
        "true_rates": {"r2_mean": -0.0002, "pooled_squared_pearson": 0.0},
    }

    lines = list(summary.of_results(results(valid), "out"))

    assert lines[1] == "validation, neurons: 0.000 bits per spike, 0 % of what the true rates reach"
    assert "R² 0.000" in lines[2]


def test_what_cannot_be_measured_is_left_out():
    nothing = float("nan")
    valid = {
        "held_in": {"bits_per_spike": nothing, "share_of_oracle": nothing},
        "true_rates": {"r2_mean": nothing, "pooled_squared_pearson": nothing},
    }

    assert not any("nan" in line for line in summary.of_results(results(valid), "out"))
