import numpy as np
import pytest

from lfads_worker import placement
from lfads_worker.data import memory
from lfads_worker.data.spikes import SpikeData
from lfads_worker.execution.choice import Choice
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.device import Devices
from lfads_worker.placement import Site, cut_population, place, without_work

GB = 10**9
CORES = Devices("cpu", 4)
CLUSTER = "10.0.0.1:6379"


@pytest.fixture
def data():
    trials = np.arange(40)
    return SpikeData(
        spikes=np.ones((40, 50, 30), np.float32),
        train=trials[:32],
        valid=trials[32:],
        held_in_neurons=30,
        encoded_bins=50,
        bin_width_ms=20.0,
        external_inputs=np.zeros((40, 50, 0), np.float32),
        true_rates=None,
        conditions=None,
        fingerprint="0" * 64,
        source="data.h5",
    )


@pytest.fixture
def spec_of(make_run):
    def make(size=20, **compute):
        return make_run(population={"size": size}, compute=compute).spec

    return make


@pytest.fixture
def with_memory_for(monkeypatch, data):
    """`with_memory_for(spec, processes, members)`: just enough memory for so many with such cohorts."""

    def have(spec, processes, members):
        available = processes * memory.of_run(data, spec, members)
        monkeypatch.setattr(placement, "memory_bytes", lambda: available)

    return have


class TestCut:
    def sizes(self, spec, data, site):
        return [len(cohort) for cohort in cut_population(spec, data, site)]

    def test_the_gpus_of_the_spec_share_the_population_before_any_of_them_is_there(self, spec_of, data):
        spec = spec_of(accelerator={"type": "nvidia-l4"}, workers={"desired": 4})
        site = Site(Devices.of_cluster("nvidia-l4", 1), address=CLUSTER)

        assert self.sizes(spec, data, site) == [5, 5, 5, 5]

    def test_each_gpu_of_a_machine_counts(self, spec_of, data):
        spec = spec_of(accelerator={"type": "nvidia-l4", "countPerWorker": 2}, workers={"desired": 2})

        assert self.sizes(spec, data, Site(Devices.of_cluster("nvidia-l4", 2), address=CLUSTER)) == [5] * 4

    def test_locally_the_gpus_of_this_machine_count_and_not_the_spec(self, spec_of, data):
        spec = spec_of(accelerator={"type": "nvidia-l4"}, workers={"desired": 4})

        assert self.sizes(spec, data, Site(Devices("gpu", 2))) == [10, 10]

    def test_the_memory_of_the_gpu_that_is_here_counts_and_not_the_spec(self, spec_of, data):
        spec = spec_of(accelerator={"type": "nvidia-h100-80gb"})
        one, two = (memory.of_run(data, spec, members, "gpu") for members in (1, 2))
        small = int((one + 6 * (two - one)) / 0.8)  # seven members

        assert self.sizes(spec, data, Site(Devices("gpu", 1, small))) == [7, 7, 6]

    @pytest.mark.parametrize("site", [Site(CORES), Site(Devices("cpu", 1)), Site(CORES, address=CLUSTER)])
    def test_cpus_train_two_members_at_a_time_whatever_is_asked_for(self, spec_of, data, site):
        spec = spec_of(size=5, accelerator={"type": "None"}, workers={"desired": 3})

        assert cut_population(spec, data, site) == ((0, 1), (2, 3), (4,))


class TestMemory:
    def test_as_many_workers_as_fit_and_that_is_said(self, spec_of, data, with_memory_for):
        spec = spec_of()
        with_memory_for(spec, 3, members=2)

        found = place(spec, data, cut(20, 2), Site(CORES))

        assert found.choice == Choice(3, gpus=False)
        assert found.needed_bytes <= found.available_bytes
        assert found.restriction.startswith("training with 3 workers instead of 4: each needs about 1.4 GB")

    def test_where_one_fits_this_process_trains(self, spec_of, data, with_memory_for):
        spec = spec_of()
        with_memory_for(spec, 1, members=2)

        found = place(spec, data, cut(20, 2), Site(CORES))

        assert found.choice == Choice(0, gpus=False)
        assert found.restriction.startswith("training in one process instead of 4")

    def test_with_memory_for_all_nothing_is_said(self, spec_of, data, with_memory_for):
        spec = spec_of()
        with_memory_for(spec, 4, members=2)

        found = place(spec, data, cut(20, 2), Site(CORES))

        assert (found.choice.workers, found.restriction) == (4, None)

    def test_what_the_user_asks_for_is_done_and_fewer_workers_are_advised(
        self, spec_of, data, with_memory_for
    ):
        spec = spec_of()
        with_memory_for(spec, 3, members=2)

        found = place(spec, data, cut(20, 2), Site(CORES, workers=6))

        assert (found.choice.workers, found.restriction) == (6, None)
        assert found.needed_bytes > found.available_bytes
        assert found.cure == "ask for at most 3 with --workers"

    def test_smaller_cohorts_are_advised_where_they_help(self, spec_of, data, with_memory_for):
        spec = spec_of(membersPerCohort=20)
        with_memory_for(spec, 1, members=7)

        found = place(spec, data, cut(20, 20), Site(CORES))

        assert found.needed_bytes > found.available_bytes
        assert found.cure == "set compute.membersPerCohort to at most 7"

    def test_where_a_single_member_is_too_much_the_batch_is(self, spec_of, data, monkeypatch):
        monkeypatch.setattr(placement, "memory_bytes", lambda: GB // 2)

        found = place(spec_of(), data, cut(20, 2), Site(CORES, workers=2))

        assert found.cure == "--workers 1, and lower training.batchSize or raise data.rebinMs"

    @pytest.mark.parametrize("site", [Site(CORES, address=CLUSTER), Site(Devices("gpu", 2))])
    def test_memory_of_this_machine_limits_no_gpu_and_no_cluster(self, spec_of, data, monkeypatch, site):
        monkeypatch.setattr(placement, "memory_bytes", lambda: 1)

        found = place(spec_of(workers={"desired": 3}), data, cut(20, 2), site)

        assert found.choice.workers in (2, 3)
        assert found.available_bytes is None


class TestWithoutWork:
    def test_workers_that_are_paid_for_nothing_in_a_cluster(self, spec_of):
        spec = spec_of(accelerator={"type": "nvidia-l4"}, workers={"desired": 4}, membersPerCohort=20)
        site = Site(Devices.of_cluster("nvidia-l4", 4), address=CLUSTER)

        assert without_work(spec, cut(20, 20), site, has_begun=False) == (
            "wanted work for 4 workers, found 1 cohort of up to 20 members, so 3 would have nothing to do; "
            "set compute.membersPerCohort to at most 6 or ask for fewer workers (compute.workers.desired)"
        )

    @pytest.mark.parametrize("wanted", range(2, 21))
    def test_the_advice_gives_work_to_all_and_one_more_member_would_not(self, spec_of, wanted):
        spec = spec_of(membersPerCohort=20, workers={"desired": wanted})

        said = without_work(spec, cut(20, 20), Site(CORES, address=CLUSTER), has_begun=False)

        most = int(said.partition("at most ")[2].split()[0])
        assert len(cut(20, most)) >= wanted > len(cut(20, most + 1))

    def test_a_run_that_has_begun_keeps_its_cut(self, spec_of):
        spec = spec_of(workers={"desired": 4}, membersPerCohort=20)

        said = without_work(spec, cut(20, 20), Site(CORES, address=CLUSTER), has_begun=True)

        assert said.endswith("nothing to do; ask for fewer workers (compute.workers.desired)")

    def test_gpus_here_that_a_number_leaves_idle(self, spec_of):
        spec = spec_of(membersPerCohort=20)

        said = without_work(spec, cut(20, 20), Site(Devices("gpu", 2)), has_begun=False)

        assert said.endswith("so 1 would have nothing to do; set compute.membersPerCohort to at most 19")
        assert without_work(spec, cut(20, 20), Site(Devices("gpu", 2)), has_begun=True) is None

    def test_auto_on_gpus_can_only_have_fewer(self, spec_of):
        spec = spec_of(size=5, accelerator={"type": "nvidia-l4"}, workers={"desired": 4})
        site = Site(Devices.of_cluster("nvidia-l4", 4), address=CLUSTER)

        assert "membersPerCohort" not in without_work(spec, cut(5, 2), site, has_begun=False)

    @pytest.mark.parametrize("site", [Site(CORES), Site(CORES, workers=2), Site(CORES, address=CLUSTER)])
    def test_who_asked_for_no_more_is_told_nothing(self, spec_of, site):
        spec = spec_of(size=4, membersPerCohort=2, workers={"desired": 2})

        assert without_work(spec, cut(4, 2), site, has_begun=False) is None
