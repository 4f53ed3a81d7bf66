"""Every figure on every kind of run: labelled, untitled, warning-free, and absent where there is nothing."""

import dataclasses

import numpy as np
import pytest
import yaml

from autolfads_spec import dump_run, load_run
from lfads_worker.report.figures.catalogue import FIGURES
from lfads_worker.report.figures.style import WIDTH, styled

RUNS = {
    "short": {"generations": 2, "members": 2, "conditions": 0, "truth": False},
    "long": {
        **{"generations": 50, "members": 20, "epochs": 2, "trials": 60, "neurons": 9, "held_out": 3},
        **{"forward": 3, "inputs": 6, "conditions": 30, "diverged": [(0, 3), (0, 7), (20, 2)]},
    },
    "gaussian": {
        "gaussian": True,
        "inputs": 0,
        "conditions": 0,
        "segment": 2,
        "generations": 3,
        "members": 4,
    },
    "tiny": {
        **{"generations": 1, "searched": False, "factors": 1, "inputs": 1, "conditions": 1},
        **{"trials": 6, "neurons": 1, "samples": 0},
    },
}
ABSENT = {
    ("short", "conditions"),
    ("gaussian", "conditions"),
    ("gaussian", "inferred_inputs"),
    ("tiny", "hyperparameters"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, make_finished):
    from lfads_worker.report import folder
    from lfads_worker.results.output import in_folder

    root = tmp_path_factory.mktemp("runs")
    return {
        name: folder.read(in_folder(make_finished(root / name, **options))) for name, options in RUNS.items()
    }


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.name)
def test_a_figure_explains_itself(runs, name, entry):
    drawn = entry.draw(runs[name])

    if (name, entry.name) in ABSENT:
        assert drawn is None
        assert entry.missing.endswith(".")
        return
    with styled():
        drawn.figure.draw_without_rendering()  # what does not fit warns here, and warnings are errors
    axes = [ax for ax in drawn.figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    assert drawn.figure.get_size_inches()[0] == WIDTH
    for ax in axes:
        assert not ax.get_title()
        assert any(shared.get_ylabel() for shared in ax.get_shared_y_axes().get_siblings(ax))
        assert any(shared.get_xlabel() for shared in ax.get_shared_x_axes().get_siblings(ax))
    assert drawn.caption.endswith(".")


def test_the_training_figure_marks_diverged_members(runs):
    training = next(entry for entry in FIGURES if entry.name == "training")

    legend = training.draw(runs["long"]).figure.axes[0].get_legend()

    assert "diverged" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("name", RUNS)
def test_the_legend_of_the_scores_hides_no_member(runs, name):
    training = next(entry for entry in FIGURES if entry.name == "training")

    figure = training.draw(runs[name]).figure

    with styled():
        figure.draw_without_rendering()
    ax = figure.axes[0]
    legend = ax.get_legend().get_window_extent()
    dots = [np.ma.filled(marks.get_offsets(), np.nan) for marks in ax.collections]
    dots += [np.column_stack(line.get_data()) for line in ax.lines]
    places = ax.transData.transform(np.concatenate(dots).astype(float))
    assert len(places) > runs[name].history.scores.size
    hidden = (places[:, 0] >= legend.x0) & (places[:, 1] >= legend.y0)
    assert not hidden.any()


def test_the_chosen_member_is_in_sight_when_the_first_generation_was_best(runs):
    training = next(entry for entry in FIGURES if entry.name == "training")
    run = runs["long"]
    scores = run.history.scores + 0.01 * np.arange(run.history.generations)[:, None]
    scores[0, 5] = 0.3
    overfitting = dataclasses.replace(run.history, scores=scores, best=(0, 5))

    ax = training.draw(dataclasses.replace(run, history=overfitting)).figure.axes[0]

    low, high = ax.get_ylim()
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert star.get_ydata()[0] == 0.3
    assert 0.05 < (0.3 - low) / (high - low) < 0.2


@pytest.mark.parametrize(
    ("name", "numbered"),
    [("short", ["0", "1"]), ("long", ["0", "10", "20", "30", "40"]), ("tiny", ["0"])],
)
def test_epochs_tell_where_generations_begin(runs, name, numbered):
    training = next(entry for entry in FIGURES if entry.name == "training")
    history = runs[name].history
    first_epochs = [int(history.epoch[history.generation == g][0]) for g in range(history.generations)]

    figure = training.draw(runs[name]).figure

    with styled():
        figure.draw_without_rendering()
    for ax in figure.axes[1:]:
        (top,) = ax.child_axes
        assert [label.get_text() for label in top.get_xticklabels()] == numbered
        marks = sorted([*top.get_xticks(), *top.get_xticks(minor=True)])
        assert marks == [epoch - 0.5 for epoch in first_epochs]


def test_limits_that_exploring_may_leave_are_named(runs):
    hyperparameters = next(entry for entry in FIGURES if entry.name == "hyperparameters")
    run = runs["short"]
    document = yaml.safe_load(dump_run(run.run))
    document["spec"]["population"]["searchSpace"][1]["enforceLimits"] = False

    free = hyperparameters.draw(dataclasses.replace(run, run=load_run(document)))

    assert "limits of the search, which exploring may leave: dropout rate." in free.caption
    assert "may leave" not in hyperparameters.draw(run).caption


def test_each_searched_hyperparameter_has_its_panel(runs):
    hyperparameters = next(entry for entry in FIGURES if entry.name == "hyperparameters")

    axes = hyperparameters.draw(runs["long"]).figure.axes

    labels = [ax.get_ylabel() for ax in axes if ax.get_visible()]
    assert labels == ["learning rate", "dropout rate", "KL weight, initial condition"]
    assert [ax.get_yscale() for ax in axes[:3]] == ["linear", "linear", "log"]


def test_the_winners_lineage_is_drawn_from_the_first_generation(runs):
    history = runs["long"].history
    hyperparameters = next(entry for entry in FIGURES if entry.name == "hyperparameters")

    ax = hyperparameters.draw(runs["long"]).figure.axes[0]

    line = next(line for line in ax.get_lines() if line.get_label() == "the winner's lineage")
    expected = [history.values["learning_rate"][g, member] for g, member in enumerate(history.lineage)]
    assert line.get_ydata().tolist() == expected


@pytest.mark.parametrize("name", ["conditions", "factors", "inferred_inputs"])
def test_conditions_are_called_as_the_recording_calls_them_and_fit(runs, name):
    entry = next(entry for entry in FIGURES if entry.name == name)
    run = runs["long"]
    words = tuple(f"reach to the far {'left' * (i % 3)} {i}" for i in range(30))
    named = dataclasses.replace(run, inferred=dataclasses.replace(run.inferred, condition_names=words))

    figure = entry.draw(named).figure

    with styled():
        figure.draw_without_rendering()
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} <= set(words)
    assert legend.get_window_extent().width < figure.bbox.width


def test_true_rates_are_drawn_only_where_known(runs):
    rates = next(entry for entry in FIGURES if entry.name == "rates")

    def labels(name):
        return {text.get_text() for text in rates.draw(runs[name]).figure.legends[0].get_texts()}

    assert labels("short") == {"smoothed spikes", "inferred rate", "spikes"}
    assert labels("long") == {
        "smoothed spikes",
        "inferred rate",
        "predicted rate, held out",
        "true rate",
        "spikes",
    }
    assert labels("gaussian") == {"smoothed", "inferred rate", "true rate", "recorded"}


def test_settings_of_the_user_do_not_change_a_figure():
    import matplotlib as mpl

    before = mpl.rcParams["font.size"]
    with styled():
        assert mpl.rcParams["savefig.dpi"] == 170
    assert mpl.rcParams["font.size"] == before
