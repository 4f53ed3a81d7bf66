"""What a scrape gets."""

from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from autolfads_operator.metrics import Metrics


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values of a metric by the values of its labels."""
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_phases_that_no_run_is_in_are_zero():
    metrics = Metrics()
    metrics.count_phases(Counter(["Running", "Running", "Failed"]))
    metrics.count_phases(Counter(["Running", "Running"]))

    found = samples(metrics, "autolfads_runs")
    assert found["Running",] == 2
    assert found["Failed",] == 0
    assert found["Suspended",] == 0


def test_gauges_of_a_run_go_with_it_and_others_stay():
    metrics = Metrics()
    metrics.generations.labels("lab", "a").set(3)
    metrics.generations.labels("lab", "b").set(5)
    metrics.heartbeat_age_seconds.labels("lab", "a").set(1)

    metrics.forget("lab", "a")
    metrics.forget("lab", "never seen")

    assert samples(metrics, "autolfads_run_generations") == {("lab", "b"): 5}
    assert samples(metrics, "autolfads_run_heartbeat_age_seconds") == {}


def test_two_processes_in_one_do_not_share_numbers():
    first, second = Metrics(), Metrics()
    first.preemptions.inc(4)

    assert samples(second, "autolfads_preemptions_total") == {(): 0}


def test_only_gauges_carry_the_name_of_a_run():
    families = text_string_to_metric_families(Metrics().page().decode())
    metrics = Metrics()
    labelled = [metric for metric in vars(metrics).values() if "run" in getattr(metric, "_labelnames", ())]

    assert all(type(metric).__name__ == "Gauge" for metric in labelled)
    assert len(list(families)) > 20


def test_the_documentation_names_every_metric_and_no_other():
    page = (Path(__file__).parents[2] / "docs/install.md").read_text()
    named = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `autolfads_")}

    families = [each for each in Metrics().registry.collect() if each.name.startswith("autolfads_")]
    assert named == {each.name + "_total" * (each.type == "counter") for each in families}
