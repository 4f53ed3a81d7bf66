from autolfads_spec.compute import MACHINE_TYPES, Accelerator, ComputeSpec, NodePool, Workers


def test_a_laptop_ignores_what_is_about_machines_and_nothing_else():
    compute = ComputeSpec(
        accelerator=Accelerator(type="nvidia-l4"),
        workers=Workers(desired=2),
        image="worker:1",
        provisioning="Spot",
    )

    assert ComputeSpec().ignored_locally() == ()
    assert compute.ignored_locally() == ("accelerator", "provisioning", "image")


def test_every_known_accelerator_needs_no_machine_type():
    for name in MACHINE_TYPES:
        assert Accelerator(type=name).machine_type is None


def test_another_accelerator_needs_its_machine_type():
    assert Accelerator(type="nvidia-b200", machine_type="a4-highgpu-8g").type == "nvidia-b200"


def test_a_pool_the_operator_makes_takes_a_shape():
    assert NodePool(mode="Dedicated", max_nodes=3, zones=["europe-west4-a"]).zones == ("europe-west4-a",)


def test_members_per_cohort_is_a_number_or_auto():
    assert ComputeSpec(members_per_cohort=4).members_per_cohort == 4
    assert ComputeSpec().members_per_cohort == "Auto"
