from dataclasses import replace

import numpy as np
import pytest

from autolfads_spec import load_run
from lfads_worker.results.document import provenance_of, results_document


@pytest.fixture
def run():
    return load_run(
        {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": "demo"},
            "spec": {
                "data": {"uri": "data.h5"},
                "output": {"uri": "out"},
                "model": {"outputDistribution": "Gaussian"},
                "population": {"size": 4, "seed": 7},
            },
        }
    )


def numbered_logs(history):
    """The same history, with a validation NLL that tells generation, epoch and member."""
    records = []
    for record in history.generations:
        logs = [
            replace(
                log,
                valid_nll=np.array(
                    [
                        [100.0 * record.generation + 10 * epoch + member for member in members]
                        for epoch in range(record.epochs)
                    ]
                ),
            )
            for log, members in zip(record.logs, history.cohorts, strict=True)
        ]
        records.append(replace(record, logs=tuple(logs)))
    return replace(history, generations=tuple(records))


@pytest.mark.parametrize(("generation", "member", "expected"), [(0, 3, 23.0), (1, 2, 112.0), (1, 1, 111.0)])
def test_the_best_member_is_described_by_the_last_epoch_of_its_own_generation(
    run, recording, history, generation, member, expected
):
    numbered = numbered_logs(history)
    numbered = replace(numbered, best=replace(numbered.best, generation=generation, member=member))

    found = results_document(run, recording, numbered, {}, {}, posterior_samples=50, notes=())

    assert found["best"]["valid_nll"] == expected


def test_rates_come_from_the_best_member_of_the_run(run, recording, history):
    found = provenance_of(run, recording, history)

    assert (found.run_name, found.seed, found.output_distribution) == ("demo", 7, "Gaussian")
    assert (found.generation, found.member, found.score) == (1, 2, 0.1875)
    assert found.hyperparameters == history.best.values
