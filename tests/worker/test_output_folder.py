import os
import resource

import pytest

from autolfads_spec import SpecError, dump_run
from autolfads_spec.errors import StoreError
from lfads_worker.errors import OutputError
from lfads_worker.output_folder import LOCK_NAME, FolderState, claim, held, inspect
from lfads_worker.results.output import in_folder


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(output={"uri": str(tmp_path / "out")})


@pytest.fixture
def output(tmp_path):
    return in_folder(tmp_path / "out")


def test_a_missing_or_empty_folder_is_fresh(run, tmp_path, output):
    assert inspect(run, output) is FolderState.FRESH

    (tmp_path / "out").mkdir()
    assert inspect(run, output) is FolderState.FRESH


def test_a_claimed_folder_is_begun_and_one_with_results_finished(run, tmp_path, output):
    claim(run, output)
    assert inspect(run, output) is FolderState.BEGUN

    (tmp_path / "out" / "results.json").write_text("{}")
    assert inspect(run, output) is FolderState.FINISHED


def test_machines_and_report_settings_do_not_make_another_run(run, make_run, output):
    claim(run, output)

    again = make_run(
        output={"uri": run.spec.output.uri, "posteriorSamples": 7},
        compute={"accelerator": {"type": "nvidia-l4"}},
    )

    assert inspect(again, output) is FolderState.BEGUN


@pytest.mark.parametrize(
    ("blocks", "named"),
    [
        pytest.param({"population": {"seed": 2}}, "population.seed is 1 there and 2 here", id="seed"),
        pytest.param(
            {"training": {"batchSize": 3}}, "training.batchSize is 256 there and 3 here", id="batch"
        ),
        pytest.param(
            {"model": {"preset": "Lorenz"}}, "model.preset is Default there and Lorenz here", id="model"
        ),
        pytest.param({"data": {"uri": "other.h5"}}, "data.uri is data.h5 there and other.h5 here", id="data"),
        pytest.param(
            {"compute": {"membersPerCohort": 1}},
            "compute.membersPerCohort is Auto there and 1 here",
            id="cut",
        ),
    ],
)
def test_the_folder_of_another_run_is_left_alone(run, make_run, blocks, named, output):
    claim(run, output)
    other = make_run(output={"uri": run.spec.output.uri}, **blocks)

    with pytest.raises(OutputError) as caught:
        inspect(other, output)

    assert named in str(caught.value)
    assert "give another folder" in str(caught.value)


def test_a_folder_with_anything_else_is_left_alone(run, tmp_path, output):
    (tmp_path / "out").mkdir()
    for name in ("thesis.tex", "figure.png", "a", "b"):
        (tmp_path / "out" / name).touch()

    with pytest.raises(OutputError, match=r"found a, b, figure.png and 1 more in .*give another folder"):
        inspect(run, output)


def test_settings_that_cannot_be_read_belong_to_nobody_here(run, tmp_path, output):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.yaml").write_text("not: [a run")

    with pytest.raises(OutputError, match="cannot be read"):
        inspect(run, output)


def test_a_file_is_no_folder(run, tmp_path, output):
    (tmp_path / "out").touch()

    with pytest.raises(StoreError, match="wanted a folder, found the file"):
        inspect(run, output)


def test_the_folder_is_claimed_with_the_complete_settings(run, tmp_path, output):
    claim(run, output)

    assert (tmp_path / "out" / "run.yaml").read_text() == dump_run(run)


def test_a_held_folder_is_refused_to_others_and_free_afterwards(run, tmp_path, output):
    second = held(output)
    with held(output), pytest.raises(OutputError, match=rf"at work in .*out \(process {os.getpid()} on"):
        second.__enter__()

    with held(output):
        assert inspect(run, output) is FolderState.FRESH


def test_a_folder_in_which_no_byte_can_be_written_is_a_sentence(output):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # files can be made, as on a full disk
        with pytest.raises(
            OutputError, match=r"output.uri: wanted a folder that can be written, found .*/out"
        ):
            held(output).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_killed_in_its_first_moment_is_nothing(run, tmp_path, output):
    (tmp_path / "out").mkdir()
    for name in (LOCK_NAME, ".run.yaml.0a1b2c3d.partial", ".autolfads.store.lock"):
        (tmp_path / "out" / name).touch()

    assert inspect(run, output) is FolderState.FRESH
    claim(run, output)
    assert not list((tmp_path / "out").glob(".*.partial"))


@pytest.mark.parametrize(
    ("policy", "begun", "found"),
    [
        pytest.param("Never", True, "resume.policy is Never, found the beginning of this run", id="never"),
        pytest.param("Require", False, "resume.policy is Require, found nothing in", id="require"),
    ],
)
def test_the_resume_policy_is_kept(run, make_run, policy, begun, found, output):
    if begun:
        claim(run, output)
    asked = make_run(output={"uri": run.spec.output.uri}, resume={"policy": policy})

    with pytest.raises(OutputError, match=found):
        inspect(asked, output)


def test_starting_from_another_run_is_told_to_come_later(run, make_run, output):
    with pytest.raises(SpecError, match=r"spec\.resume\.from: .* later version"):
        inspect(make_run(output={"uri": run.spec.output.uri}, resume={"from": "other"}), output)


def test_many_differences_are_counted(run, make_run, output):
    claim(run, output)
    other = make_run(
        output={"uri": run.spec.output.uri},
        population={"seed": 3, "size": 9, "smoothing": 0.5, "epochsPerGeneration": 8},
        training={"batchSize": 3, "gradientClipNorm": 1.0},
    )

    with pytest.raises(OutputError, match=r"training.batchSize is 256 there and 3 here, .* and 2 more; give"):
        inspect(other, output)
