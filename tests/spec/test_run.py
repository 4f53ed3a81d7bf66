import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from autolfads_spec import AutoLFADSRun, SpecError, dump_run, load_run
from autolfads_spec.run import cluster_problems

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = """\
apiVersion: autolfads.dev/v1alpha1
kind: AutoLFADSRun
metadata:
  name: monkey-reach
spec:
  data:
    uri: gs://my-lab/data/reach.mat     # or a local path
    rebinMs: 10
  output:
    uri: gs://my-lab/runs/monkey-reach
  compute:
    accelerator: {type: nvidia-l4}
"""
LOCAL = EXAMPLE.replace("gs://my-lab/", "").replace("accelerator: {type: nvidia-l4}", "")


def test_the_readmes_example_is_a_run():
    run = load_run(EXAMPLE)

    assert run.metadata.name == "monkey-reach"
    assert run.spec.data.rebin_ms == 10
    assert run.spec.population.size == 20
    assert run.spec.compute.accelerator.type == "nvidia-l4"
    assert cluster_problems(run) == ()


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("examples/**/run*.yaml")), ids=lambda p: p.name)
def test_our_examples_are_runs(path):
    load_run(path)


def test_text_path_and_mapping_give_the_same_run(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")

    assert load_run(path) == load_run(str(path)) == load_run(EXAMPLE) == load_run(yaml.safe_load(EXAMPLE))


def test_a_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(EXAMPLE, encoding="utf-8-sig")

    assert load_run(path) == load_run(EXAMPLE)


def test_what_kubernetes_adds_is_left_out():
    content = yaml.safe_load(EXAMPLE)
    content["metadata"] |= {"uid": "1", "generation": 3, "managedFields": [], "labels": {"lab": "x"}}
    content["status"] = {"phase": "Running"}

    assert load_run(content).metadata.labels == {"lab": "x"}
    assert "status" not in dump_run(load_run(content))
    assert "uid" not in dump_run(load_run(content))


def test_a_block_left_empty_counts_as_not_given():
    assert load_run(EXAMPLE + "  population:\n    # size: 3\n") == load_run(EXAMPLE)


def test_a_run_on_a_laptop_is_told_what_a_cluster_needs():
    found = cluster_problems(load_run(LOCAL))

    assert [sentence.split(":")[0] for sentence in found] == [
        "spec.data.uri",
        "spec.output.uri",
        "spec.compute.accelerator",
    ]


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        pytest.param(lambda path: None, "found no such file; check the path", id="missing"),
        pytest.param(lambda path: path.mkdir(), "found a folder; name the file in it", id="folder"),
        pytest.param(lambda path: path.write_bytes(b"\x89HDF\r\n"), "YAML text in UTF-8", id="binary"),
        pytest.param(
            lambda path: path.write_bytes(b"a" * 1_000_001), "at most 1000000 bytes", id="recording"
        ),
        pytest.param(lambda path: path.write_text(" "), "found nothing", id="empty"),
        pytest.param(
            lambda path: path.write_text("a: [\n"), "run.yaml: wanted YAML, found at line 2", id="syntax"
        ),
    ],
)
def test_a_file_that_is_no_run_is_named(tmp_path, prepare, sentence):
    path = tmp_path / "run.yaml"
    prepare(path)

    with pytest.raises(SpecError) as caught:
        load_run(path)

    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


def test_without_a_controller_its_hyperparameters_are_not_searched():
    run = load_run(EXAMPLE + "  model: {inferredInputs: 0}\n")

    assert [d.name for d in run.spec.population.search_space] == [
        "learningRate",
        "dropoutRate",
        "coordinatedDropoutRate",
        "l2Generator",
        "klInitialCondition",
    ]
    assert load_run(dump_run(run)) == run


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "0.001", ".001", "1.0e-3"])
def test_numbers_are_numbers_however_they_are_written(number):
    assert load_run(f"{EXAMPLE}  training: {{learningRate: {number}}}\n").spec.training.learning_rate == 0.001


def test_a_date_stays_text():
    run = load_run(f"{EXAMPLE}  schedule: {{startAfter: 2030-01-31T18:00:00Z}}\n")

    assert run.spec.schedule.start_after == "2030-01-31T18:00:00Z"
    assert load_run(dump_run(run)) == run


def test_importing_the_contract_loads_nothing_heavy():
    code = (
        "import sys, autolfads_spec; print({'numpy', 'autolfads_spec.schema', 'jinja2'} & set(sys.modules))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )

    assert result.stdout.strip() == "set()"


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
rates = st.floats(0, 0.99)
positive = st.floats(1e-9, 1e3)


@st.composite
def bounds(draw):
    low, high = sorted(draw(st.lists(st.floats(1e-8, 0.9), min_size=2, max_size=2, unique=True)))
    return {"min": low, "max": high, "init": draw(st.none() | st.floats(low, high))}


@st.composite
def dimensions(draw, name):
    kind = draw(st.sampled_from(["Uniform", "LogUniform", "Choice"]))
    entry = {
        "name": name,
        "distribution": kind,
        "weight": draw(st.floats(0.01, 5)),
        "enforceLimits": draw(st.booleans()),
    }
    if kind == "Choice":
        return entry | {"values": draw(st.lists(st.floats(0.001, 0.9), min_size=1, max_size=5, unique=True))}
    return entry | draw(bounds())


@st.composite
def runs(draw):
    searched = draw(st.lists(st.sampled_from(["learningRate", "dropoutRate", "l2CiEncoder"]), unique=True))
    size = draw(st.integers(5, 512))
    strategy = draw(st.sampled_from(["BinaryTournament", "Truncation"]))
    return {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": draw(names), "labels": draw(st.dictionaries(text, text, max_size=2))},
        "spec": {
            "data": {
                "uri": "in/" + draw(text).replace("/", "_").replace("..", "_"),
                "variable": draw(st.none() | text),
                "binWidthMs": draw(st.none() | positive),
                "validation": draw(
                    st.sampled_from([{}, {"everyNth": 3}, {"fraction": 0.25, "seed": 7}, {"fraction": 1 / 3}])
                ),
                "heldOutNeurons": draw(st.integers(0, 100)),
            },
            "output": {"uri": "out/" + draw(text).replace("/", "_").replace("..", "_")},
            "model": {
                "preset": draw(st.sampled_from(["Default", "Small", "Lorenz", "MCMaze", "LFADSTorchMaze"])),
                "causal": draw(st.booleans()),
                "cellClip": draw(positive),
            }
            | draw(st.sampled_from([{}, {"factors": 3}, {"controllerUnits": 8}])),
            "training": {"learningRate": draw(st.floats(1e-9, 1)), "dropoutRate": draw(rates)},
            "population": {
                "size": size,
                "seed": draw(st.integers(0, 2**31 - 1)),
                "searchSpacePreset": draw(st.sampled_from(["Default", "Tutorial", "None"])),
                "searchSpace": [draw(dimensions(name)) for name in searched],
                "exploit": {"strategy": strategy},
            },
            "compute": {"membersPerCohort": draw(st.just("Auto") | st.integers(1, size)), "image": "x:1"},
            "budget": draw(st.sampled_from([{}, {"maxCost": "25.00"}, {"maxCost": "1"}])),
        },
    }


@settings(max_examples=60, deadline=None)
@given(runs())
def test_a_dumped_run_loads_as_the_same_run(content):
    run = load_run(content)

    again = load_run(dump_run(run))

    assert isinstance(again, AutoLFADSRun)
    assert again == run
    assert dump_run(again) == dump_run(run)
