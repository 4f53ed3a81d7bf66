import numpy as np
import pytest

from lfads_worker.report.tables import History, ancestors


def test_ancestors_follow_parents_back_to_the_first_generation():
    parents = np.array([[0, 1, 2], [0, 2, 2], [1, 1, 2]])

    assert ancestors(parents, 2, 0) == [2, 1, 0]
    assert ancestors(parents, 0, 1) == [1]


def test_history_has_one_row_a_generation_and_one_column_a_member(read):
    history = read(generations=3, members=4, epochs=5, diverged=[(1, 2)]).history

    assert history.scores.shape == (3, 4)
    assert np.isnan(history.scores[1, 2])
    assert np.isfinite(np.delete(history.scores.ravel(), 6)).all()
    assert history.curves["valid_nll"].shape == (20, 4)  # the first generation is twice as long
    assert history.generation.tolist() == [0] * 10 + [1] * 5 + [2] * 5
    assert history.epoch.tolist() == list(range(1, 21))


def test_measured_divergence_and_its_weight_are_told_apart(read):
    history = read().history

    assert history.curves["kl_initial_condition_nats"].min() > 1
    assert history.values["kl_initial_condition"].max() < 1e-2


def test_a_curve_along_the_lineage_changes_members_where_weights_were_copied():
    curve = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])
    history = History(
        scores=np.zeros((3, 2)),
        parents=np.array([[0, 1], [0, 0], [0, 1]]),  # member 1 copied member 0 after the first generation
        values={},
        curves={"valid_nll": curve},
        epoch=np.array([1, 2, 3, 4]),
        generation=np.array([0, 0, 1, 2]),
        best=(1, 1),
    )

    assert history.lineage == [0, 1]
    assert history.along_lineage("valid_nll").tolist() == [1.0, 2.0, 30.0]  # until it was chosen


def test_the_line_ends_at_the_best_member(read):
    run = read(generations=4, members=4)

    generation, member = run.history.best
    assert run.history.lineage[-1] == member
    assert len(run.history.lineage) == generation + 1
    assert run.history.scores[generation, member] == pytest.approx(run.results["best"]["score"])
