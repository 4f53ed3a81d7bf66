"""Every way we know to write a wrong run.yaml, each with the sentence its writer needs."""

import textwrap
from typing import Any

import pytest

from autolfads_spec import SpecError, load_run

HEAD = """\
apiVersion: autolfads.dev/v1alpha1
kind: AutoLFADSRun
metadata:
  name: reach
"""
ADDRESSES = "  data: {uri: data/reach.mat}\n  output: {uri: runs/reach}\n"


def document(spec: str) -> str:
    """A run whose spec has the two addresses and these lines."""
    return f"{HEAD}spec:\n{ADDRESSES}{textwrap.indent(textwrap.dedent(spec), '  ')}"


def searching(entry: str) -> str:
    return document(f"population:\n  searchSpace:\n  - {{{entry}}}\n")


def sentences(source: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        load_run(source)
    return caught.value.sentences


WRONG_DOCUMENTS = [
    pytest.param(
        "",
        "the text: wanted an AutoLFADSRun, found nothing; start from examples/lorenz/run.yaml",
        id="empty",
    ),
    pytest.param("# nothing\n---\n", "wanted an AutoLFADSRun, found nothing", id="only-a-comment"),
    pytest.param(
        "- a\n- b\n", "wanted a mapping with apiVersion, kind, metadata and spec, found a list", id="list"
    ),
    pytest.param(
        "hello\nworld\n", "wanted a mapping with apiVersion, kind, metadata and spec, found text", id="text"
    ),
    pytest.param(
        "spec:\n  data: {uri: a\n  output: b\n",
        "wanted YAML, found at line 3, column 9: expected ',' or '}'",
        id="bracket-not-closed",
    ),
    pytest.param(
        "spec:\n\tdata: a\n", "wanted YAML, found at line 2, column 1: found character '\\t'", id="tab"
    ),
    pytest.param("spec:\n\tdata: a\n", "use blanks, never tabs, to indent", id="tab-says-what-to-do"),
    pytest.param(
        "a: b: c\n",
        "line 1, column 5: mapping values are not allowed here; check the indentation",
        id="two-colons",
    ),
    pytest.param(
        "a: 1\nb: 'never closed\nc: 2\n",
        "found at line 2, column 4: found unexpected end of stream; check the quote that begins there",
        id="open-quote",
    ),
    pytest.param(
        "a: \x07\n", "wanted YAML, found the character U+0007 on line 1; remove it", id="control-character"
    ),
    pytest.param(
        "a: !!python/object:os.system x\n", "could not determine a constructor for the tag", id="tag"
    ),
    pytest.param("a: &x\n  b: *x\n", "aliases that make the document endless", id="endless-alias"),
    pytest.param(
        "a: 1\n---\na: 2\n",
        "wanted one YAML document, found 2; put each run in a file of its own",
        id="two-documents",
    ),
    pytest.param(
        document("population:\n  size: 4\n  seed: 1\n  size: 8\n"),
        "line 11: wanted size once, found it again (first on line 9); remove one of them",
        id="key-twice",
    ),
    pytest.param(
        document("3: 4\n"),
        "line 8: wanted a name before the colon, found 3; put it in quotes",
        id="key-not-text",
    ),
    pytest.param(
        "base: &b {size: 4}\npopulation: {<<: *b}\n",
        "line 2: wanted fields, found a merge key (<<); write the fields out",
        id="merge-key",
    ),
    pytest.param(
        "apiVersion: batch/v1\nkind: AutoLFADSRun\n",
        "apiVersion: wanted autolfads.dev/v1alpha1, found 'batch/v1'; write apiVersion: "
        "autolfads.dev/v1alpha1",
        id="api-version",
    ),
    pytest.param(
        "apiVersion: autolfads.dev/v1alpha1\nkind: Pod\n",
        "kind: wanted AutoLFADSRun, found 'Pod'; write kind: AutoLFADSRun (line 2)",
        id="kind",
    ),
    pytest.param(
        "kind: AutoLFADSRun\nspec: {}\n", "apiVersion: wanted autolfads.dev/v1alpha1, found none", id="no-api"
    ),
    pytest.param(
        "apiVersion: autolfads.dev/v1alpha1\nkind: AutoLFADSRun\nmetadata: {name: a}\n",
        "spec is missing; wanted a block with the fields data, output,",
        id="no-spec",
    ),
    pytest.param(
        f"{HEAD}spec:\n  output: {{uri: runs/reach}}\n",
        "spec.data is missing; wanted a block with the fields uri, format,",
        id="no-data",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{}}\n  output: {{uri: runs/reach}}\n",
        "spec.data.uri is missing; wanted gs://bucket/path, or a path of this machine; "
        "add it, for example uri: gs://my-lab/data/reach.mat (line 6)",
        id="no-data-uri",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: a.mat}}\n",
        "spec.output is missing; wanted a block with the fields uri,",
        id="no-output",
    ),
    pytest.param(
        document("").replace("name: reach", "namespace: lab"),
        "metadata.name is missing; wanted at most 40 lower-case letters",
        id="no-name",
    ),
    pytest.param(
        document("").replace("name: reach", "name: Monkey_Reach"),
        "metadata.name: wanted at most 40 lower-case letters, digits and dashes, a letter first and no dash "
        "at the end, found the text 'Monkey_Reach'; change it (line 4)",
        id="name-with-capitals",
    ),
    pytest.param(
        document("").replace("name: reach", f"name: {'a' * 41}"),
        "metadata.name: wanted at most 40 lower-case letters",
        id="name-too-long",
    ),
    pytest.param(
        document("").replace("name: reach", "name: 2nd"), "a letter first", id="name-starts-with-digit"
    ),
    pytest.param(
        document("").replace("name: reach", "name: reach-"), "no dash at the end", id="name-ends-with-dash"
    ),
]

WRONG_FIELDS = [
    pytest.param(
        document("population: {sise: 4}\n"),
        "spec.population.sise is not a field; did you mean size? (line 8)",
        id="misspelled",
    ),
    pytest.param(
        document("bin_width_ms: 5\n"),
        "spec.bin_width_ms is not a field; did you mean spec.data.binWidthMs?",
        id="field-of-another-block",
    ),
    pytest.param(
        document("training: {learning_rate: 0.1}\n"),
        "spec.training.learning_rate is not a field; did you mean learningRate?",
        id="snake-case",
    ),
    pytest.param(
        document("compute: {flavour: x}\n"),
        "spec.compute.flavour is not a field; the fields of spec.compute are accelerator, workers,",
        id="unknown-without-neighbour",
    ),
    pytest.param(document("epochs: 3\n"), "did you mean spec.training.klRamp.epochs or", id="several-homes"),
    pytest.param(
        f"{document('')}extra: 1\n", "extra is not a field; the fields of the document are", id="at-the-top"
    ),
    pytest.param(
        document("population: {size: 1}\n"),
        "spec.population.size: wanted a whole number from 2 to 512, found 1; "
        "change it, or leave it out for the default, 20 (line 8)",
        id="too-small",
    ),
    pytest.param(document("population: {size: 513}\n"), "from 2 to 512, found 513", id="too-large"),
    pytest.param(
        document("population: {size: 4.5}\n"), "wanted a whole number from 2 to 512, found 4.5", id="fraction"
    ),
    pytest.param(
        document("population: {size: '20'}\n"),
        "found the text '20'; remove the quotes",
        id="number-in-quotes",
    ),
    pytest.param(
        document("population: {size: true}\n"), "wanted a whole number from 2 to 512, found true", id="bool"
    ),
    pytest.param(
        document("population: {size: [4]}\n"), "found a list of 1; give a single one", id="list-for-number"
    ),
    pytest.param(
        document("population: 20\n"),
        "spec.population: wanted a block with the fields size, generations,",
        id="number-for-block",
    ),
    pytest.param(
        document("suspend: 'no'\n"),
        "spec.suspend: wanted true or false, found the text 'no'",
        id="text-for-bool",
    ),
    pytest.param(
        document("training: {learningRate: .nan}\n"),
        "spec.training.learningRate: wanted a number above 0 and at most 1, found nan",
        id="not-a-number",
    ),
    pytest.param(document("training: {lossScale: .inf}\n"), "found inf", id="infinite"),
    pytest.param(
        document("training: {dropoutRate: 1}\n"), "wanted a number from 0 to below 1, found 1", id="dropout-1"
    ),
    pytest.param(
        document("training: {learningRate: fast}\n"),
        "found the text 'fast'; change it, or leave it out for the default, 0.004",
        id="text-for-number",
    ),
    pytest.param(
        document("training: {klRamp: {epochs: -1}}\n"), "spec.training.klRamp.epochs: wanted", id="ramp"
    ),
    pytest.param(
        document("model: {preset: lorenz}\n"),
        "spec.model.preset: wanted one of Default, Small, Lorenz, MCMaze, LFADSTorchMaze, "
        "found the text 'lorenz'; did you mean Lorenz?",
        id="model-preset",
    ),
    pytest.param(
        document("model: {factors: 0}\n"),
        "spec.model.factors: wanted a whole number from 1 to 4096",
        id="width",
    ),
    pytest.param(
        document("model: {outputDistribution: Gamma}\n"),
        "wanted one of Poisson, Gaussian, found the text 'Gamma'",
        id="distribution",
    ),
    pytest.param(
        document("population: {searchSpacePreset: null}\n"),
        "spec.population.searchSpacePreset: wanted one of Default, Tutorial, AutoLFADSTF2, LFADSTorch, None, "
        "found nothing",
        id="null-preset",
    ),
    pytest.param(
        searching("name: learningrate, distribution: Uniform, min: 0.1, max: 0.2"),
        "spec.population.searchSpace[0].name: wanted one of learningRate, dropoutRate,",
        id="hyperparameter-name",
    ),
    pytest.param(
        searching("name: learningRate, min: 0.1, max: 0.2"),
        "spec.population.searchSpace[0].distribution is missing; wanted one of Uniform, LogUniform, Choice",
        id="no-distribution",
    ),
    pytest.param(
        document("population: {searchSpace: [learningRate]}\n"), "searchSpace[0]: wanted a block", id="entry"
    ),
    pytest.param(
        document("compute: {membersPerCohort: auto}\n"),
        "spec.compute.membersPerCohort: wanted a whole number from 1 to 512, or Auto, found the text 'auto'",
        id="cohort-text",
    ),
    pytest.param(
        document("compute: {membersPerCohort: 0}\n"), "from 1 to 512, or Auto, found 0", id="cohort-zero"
    ),
    pytest.param(document("compute: {provisioning: spot}\n"), "did you mean Spot?", id="provisioning"),
    pytest.param(
        document("compute: {head: {memory: 8GB}}\n"),
        "wanted a Kubernetes quantity of memory such as 8Gi, found the text",
        id="memory",
    ),
    pytest.param(
        document("compute: {head: {cpu: 2}}\n"), "found 2; put it in quotes", id="cpu-without-quotes"
    ),
    pytest.param(
        document("budget: {maxCost: 25}\n"),
        'spec.budget.maxCost: wanted an amount of money in quotes such as "25.00", found 25; put it in '
        "quotes",
        id="money-without-quotes",
    ),
    pytest.param(document("budget: {maxCost: '25 EUR'}\n"), "found the text '25 EUR'; change it", id="money"),
    pytest.param(
        document("schedule: {deadline: 1 day}\n"),
        "spec.schedule.deadline: wanted a duration such as 90s, 45m, 24h or 1h30m, found the text '1 day'",
        id="duration",
    ),
    pytest.param(
        document("schedule: {startAfter: 2030-01-31}\n"), "wanted a time such as 2030-01-31T18:00", id="time"
    ),
    pytest.param(
        document("output2: {}\n").replace("output2", "outputs"),
        "spec.outputs is not a field; did you mean output?",
        id="misspelled-block",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: a.mat, sha256: ABC}}\n  output: {{uri: runs/a}}\n",
        "spec.data.sha256: wanted 64 hexadecimal digits in lower case",
        id="checksum",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: ''}}\n  output: {{uri: runs/a}}\n",
        "found an empty text; change it",
        id="empty-uri",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: 5}}\n  output: {{uri: runs/a}}\n",
        "found 5; put it in quotes",
        id="number-for-uri",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: a.mat}}\n  output: {{uri: runs/a, posteriorSamples: -1}}\n",
        "spec.output.posteriorSamples: wanted a whole number from 0 to 10000, found -1",
        id="no-samples",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: a.mat}}\n  output: {{uri: runs/a, formats: []}}\n",
        "spec.output.formats: wanted a list of 1 to 2 entries, each one of HDF5, Matlab, found a list of 0",
        id="no-formats",
    ),
    pytest.param(
        f"{HEAD}spec:\n  data: {{uri: a.mat}}\n  output: {{uri: runs/a, formats: [hdf5]}}\n",
        "spec.output.formats[0]: wanted one of HDF5, Matlab, found the text 'hdf5'; did you mean HDF5?",
        id="format-in-lower-case",
    ),
]


def data(fields: str, output: str = "runs/a") -> str:
    return f"{HEAD}spec:\n  data: {{{fields}}}\n  output: {{uri: {output}}}\n"


BROKEN_RULES = [
    pytest.param(
        data("uri: s3://lab/reach.mat"),
        "spec.data.uri: wanted gs://bucket/path, or a path of this machine, found 's3://lab/reach.mat'; "
        "give one of these",
        id="other-cloud",
    ),
    pytest.param(data("uri: gs:/lab/reach.mat"), "found 'gs:/lab/reach.mat'", id="one-slash"),
    pytest.param(
        data("uri: gs://My_Lab/reach.mat"),
        "a bucket's name has lower-case letters, digits, dots, dashes and underscores only",
        id="bucket-with-capitals",
    ),
    pytest.param(
        data('uri: "gs://lab/reach.mat\\n"'), "spec.data.uri: wanted gs://bucket/path", id="line-break-in-uri"
    ),
    pytest.param(
        document('compute: {image: "lab/worker\\u00a0:1"}\n'),
        "spec.compute.image: wanted the name of a container image, without spaces",
        id="blank-in-image",
    ),
    pytest.param(
        data("uri: gs://lab"),
        "wanted gs://bucket/path, or a path of this machine, found 'gs://lab'; add a path in the bucket",
        id="bucket-without-path",
    ),
    pytest.param(
        data("uri: a.mat", output="file:///tmp/a"),
        "found 'file:///tmp/a'; write the path without file://",
        id="file-address",
    ),
    pytest.param(
        data("uri: a.mat, validation: {everyNth: 4, fraction: 0.2}"),
        "spec.data.validation: wanted either everyNth or fraction, found both (4 and 0.2); remove one "
        "of them",
        id="two-splits",
    ),
    pytest.param(
        data("uri: a.mat, validation: {seed: 3}"),
        "spec.data.validation.seed: wanted fraction beside seed, found seed 3 with everyNth",
        id="seed-without-draw",
    ),
    pytest.param(
        data("uri: a.mat, binWidthMs: 3, rebinMs: 10"),
        "spec.data: wanted rebinMs to be a whole multiple of binWidthMs, found rebinMs 10 and binWidthMs 3; "
        "change rebinMs, for example to 9",
        id="rebin-not-whole",
    ),
    pytest.param(
        data("uri: a.mat, binWidthMs: 20, rebinMs: 5"), "change rebinMs, for example to 20", id="rebin-finer"
    ),
    pytest.param(
        data("uri: a.mat, variable: x, externalInputs: x"),
        "spec.data.externalInputs: wanted another array in externalInputs than in variable, found 'x' "
        "in both",
        id="inputs-are-spikes",
    ),
    pytest.param(
        data("uri: runs/a/reach.mat"),
        "spec: wanted data.uri outside the output folder, found 'runs/a/reach.mat' in 'runs/a'; "
        "move the recording, or choose another output.uri",
        id="data-below-output",
    ),
    pytest.param(
        data("uri: ./runs/b/../a/x.mat"), "wanted data.uri outside the output folder", id="data-below-by-dots"
    ),
    pytest.param(
        data("uri: gs://lab/runs/x.h5", output="gs://lab/runs/"),
        "outside the output folder",
        id="data-below-in-bucket",
    ),
    pytest.param(
        data("uri: gs://lab/x", output="gs://lab/x"), "outside the output folder", id="data-is-output"
    ),
    pytest.param(
        data("uri: a.mat", output="runs/a, formats: [HDF5, HDF5]"),
        "spec.output.formats: wanted each format once, found one twice",
        id="format-twice",
    ),
    pytest.param(
        searching("name: learningRate, distribution: Uniform, min: 0.2, max: 0.1"),
        "spec.population.searchSpace[0]: wanted min below max for learningRate, found min 0.2 and max 0.1",
        id="bounds-reversed",
    ),
    pytest.param(
        searching("name: l2Generator, distribution: Uniform, min: 0.2, max: 0.2"),
        "wanted min below max",
        id="no-range",
    ),
    pytest.param(
        searching("name: l2Generator, distribution: LogUniform, min: 0, max: 1"),
        "wanted min above 0 for a LogUniform draw of l2Generator, found 0; "
        "give a small positive min, or use distribution Uniform",
        id="log-of-zero",
    ),
    pytest.param(
        searching("name: l2Generator, distribution: LogUniform, max: 1"),
        "wanted min and max for a LogUniform draw of l2Generator, found no min; add min",
        id="bound-missing",
    ),
    pytest.param(
        searching("name: l2Generator, distribution: Uniform"),
        "found no min and max; add min and max",
        id="no-bounds",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Choice"),
        "wanted values for a Choice of dropoutRate, found none; add values, for example [0.1, 0.3]",
        id="choice-without-values",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Choice, values: [0.1], min: 0"),
        "wanted no bounds for a Choice of dropoutRate, found min; remove min, the values are the bounds",
        id="choice-with-bounds",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Uniform, min: 0, max: 0.5, values: [0.1]"),
        "wanted values only with Choice, found them with Uniform; remove values, or use Choice",
        id="values-without-choice",
    ),
    pytest.param(
        searching("name: learningRate, distribution: Uniform, min: 0.001, max: 0.01, init: 0.1"),
        "wanted init of learningRate from 0.001 to 0.01, found 0.1; move init or the bounds",
        id="start-outside",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Choice, values: [0.1, 0.3, 0.1]"),
        "wanted each value of dropoutRate once, found 0.1 more than once; remove the repetition",
        id="choice-twice",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Choice, values: [0.1, 0.3], init: 0.2"),
        "wanted init of dropoutRate to be one of its values (0.1, 0.3), found 0.2; choose one",
        id="start-no-choice",
    ),
    pytest.param(
        searching("name: dropoutRate, distribution: Uniform, min: 0, max: 1"),
        "wanted a dropoutRate from 0 to below 1, found 0 to 1; change the bounds",
        id="dropout-bounds",
    ),
    pytest.param(
        searching("name: learningRate, distribution: Uniform, min: 0, max: 0.1"),
        "wanted a learningRate above 0 and at most 1, found 0 to 0.1",
        id="learning-rate-bounds",
    ),
    pytest.param(
        searching("name: klInferredInputs, distribution: Uniform, min: -1, max: 0.1"),
        "wanted a klInferredInputs of at least 0, found -1",
        id="negative-weight",
    ),
    pytest.param(
        document(
            """\
            population:
              searchSpace:
              - {name: learningRate, distribution: Uniform, min: 0.001, max: 0.01}
              - {name: learningRate, distribution: Uniform, min: 0.002, max: 0.01}
            """
        ),
        "spec.population.searchSpace: wanted each hyperparameter once in searchSpace, "
        "found learningRate more than once; remove one (line 9)",
        id="searched-twice",
    ),
    pytest.param(
        document("population: {exploit: {fraction: 0.2}}\n"),
        "spec.population.exploit: wanted no fraction with BinaryTournament, found 0.2; "
        "remove fraction, or use strategy Truncation",
        id="tournament-fraction",
    ),
    pytest.param(
        document("population: {size: 4, exploit: {strategy: Truncation}}\n"),
        "wanted exploit.fraction times size to be at least one member, found 0.2 x 4; give a fraction "
        "of at least 0.25",
        id="nobody-replaced",
    ),
    pytest.param(
        document("population: {explore: {strategy: Resample, resampleProbability: 0.5}}\n"),
        "wanted resampleProbability only with Perturb, found 0.5 with Resample",
        id="resample-twice",
    ),
    pytest.param(
        document(
            """\
            model: {inferredInputs: 0}
            population:
              searchSpace:
              - {name: klInferredInputs, distribution: LogUniform, min: 0.001, max: 0.01}
            """
        ),
        "spec: wanted a controller for the searched klInferredInputs, found none, since model.inferredInputs "
        "is 0; remove klInferredInputs from population.searchSpace, or give the model a controller",
        id="no-controller",
    ),
    pytest.param(
        document("compute: {membersPerCohort: 8}\npopulation: {size: 4}\n"),
        "spec: wanted compute.membersPerCohort of at most population.size, found 8 and 4; "
        "lower membersPerCohort or raise size",
        id="cohort-larger-than-population",
    ),
    pytest.param(
        document("compute: {workers: {desired: 8}}\npopulation: {size: 4}\n"),
        "spec: wanted compute.workers.desired of at most population.size, found 8 and 4; lower desired",
        id="more-workers-than-members",
    ),
    pytest.param(
        document("compute: {workers: {min: 3, desired: 2}}\n"),
        "spec.compute.workers: wanted min of at most desired, found min 3 and desired 2; lower min or "
        "raise desired",
        id="min-workers",
    ),
    pytest.param(
        document("compute: {accelerator: {type: nvidia-l44}}\n"),
        "found 'nvidia-l44'; did you mean nvidia-l4? Or give machineType beside another type",
        id="unknown-gpu",
    ),
    pytest.param(
        document("compute: {nodePool: {mode: Existing}}\n"),
        "spec.compute.nodePool: wanted the name of the node pool with mode Existing, found none; add name",
        id="pool-without-name",
    ),
    pytest.param(
        document("compute: {nodePool: {mode: Shared, name: gpus}}\n"),
        "wanted no name with mode Shared, whose pools are named by the operator, found 'gpus'",
        id="pool-with-name",
    ),
    pytest.param(
        document("compute: {nodePool: {name: gpus, maxNodes: 3}}\n"),
        "wanted maxNodes only with mode Shared or Dedicated, where the operator makes the pool, found "
        "mode Existing",
        id="pool-size",
    ),
    pytest.param(
        document("compute: {nodePool: {mode: Shared, zones: [a, a]}}\n"),
        "wanted each zone once",
        id="zone-twice",
    ),
    pytest.param(
        document("schedule: {deadline: 30m}\n"),
        "spec.schedule: wanted provisioningTimeout below deadline, found 45m and 30m; "
        "lower provisioningTimeout or raise deadline",
        id="deadline-before-machines",
    ),
    pytest.param(
        document("schedule: {startAfter: '2030-02-30T10:00:00Z'}\n"),
        "spec.schedule.startAfter: wanted a time of the calendar, after 1970, found '2030-02-30T10:00:00Z'; "
        "correct it, or remove it",
        id="no-day",
    ),
    pytest.param(
        document("schedule: {startAfter: '1970-01-01T00:00:00Z'}\n"),
        "wanted a time of the calendar, after 1970",
        id="long-ago",
    ),
    pytest.param(
        document("resume: {policy: Never, from: other-run}\n"),
        "spec.resume: wanted no from with policy Never, found 'other-run'; remove from, or use policy "
        "IfPresent",
        id="resume-never-from",
    ),
    pytest.param(
        document("budget: {maxCost: '0.00'}\n"),
        'spec.budget.maxCost: wanted an amount above 0, found "0.00"; raise it, or remove it',
        id="no-money",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), [*WRONG_DOCUMENTS, *WRONG_FIELDS, *BROKEN_RULES])
def test_a_wrong_document_gets_its_sentence_and_no_other(text: str, sentence: str) -> None:
    found = sentences(text)

    assert len(found) == 1, found
    assert sentence in found[0]
    assert "Input should" not in found[0]


def test_every_problem_of_a_document_is_told_at_once_in_the_order_of_its_lines() -> None:
    text = document(
        """\
        population:
          sise: 4
          size: many
          searchSpace:
          - {name: learningRate, distribution: Uniform, min: 0.2, max: 0.1}
        model: {factors: 0}
        compute: {workers: {min: 3}, membersPerCohort: 64}
        suspend: 'no'
        """
    )

    found = sentences(text)

    assert [sentence.split(":")[0].split(" is ")[0] for sentence in found] == [
        "spec.population.sise",
        "spec.population.size",
        "spec.population.searchSpace[0]",
        "spec.model.factors",
        "spec.compute.workers",
        "spec.suspend",
    ]


def test_rules_between_blocks_are_told_beside_wrong_fields() -> None:
    found = sentences(data("uri: runs/a/x.mat, rebinMs: fast"))

    assert len(found) == 2
    assert any("outside the output folder" in sentence for sentence in found)
    assert any("spec.data.rebinMs: wanted a number above 0" in sentence for sentence in found)


def test_a_rule_stays_silent_about_a_field_that_is_wrong_by_itself() -> None:
    found = sentences(data("uri: a.mat, binWidthMs: 3, rebinMs: -10"))

    assert len(found) == 1
    assert "spec.data.rebinMs: wanted a number above 0" in found[0]


def test_several_keys_given_twice_are_told_at_once() -> None:
    found = sentences("a: 1\na: 2\nb: 1\nb: 2\n")

    assert len(found) == 2


def test_a_long_text_is_cut_in_the_message() -> None:
    (found,) = sentences(document(f"suspend: {'x' * 500}\n"))

    assert len(found) < 250


def test_braces_in_a_value_are_shown_as_they_are() -> None:
    (found,) = sentences(data("uri: 's3://{lab}/{0}'"))

    assert "found 's3://{lab}/{0}'" in found


def test_an_object_of_kubernetes_is_explained_without_lines() -> None:
    content = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": "reach", "uid": "1", "resourceVersion": "2"},
        "spec": {"data": {"uri": "a.mat"}, "output": {"uri": "b"}, "suspend": 3},
        "status": {"phase": "Running"},
    }

    (found,) = sentences(content)

    assert found == (
        "spec.suspend: wanted true or false, found 3; change it, or leave it out for the default, false"
    )
