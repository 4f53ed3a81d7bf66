from autolfads_spec.training import Ramp, TrainingSpec


def weight(ramp, epoch):
    return min(max((epoch - ramp.start_epoch) / (ramp.epochs + 1), 0), 1)


def test_a_ramp_ends_at_the_first_epoch_of_full_weight():
    ramp = Ramp(start_epoch=10, epochs=80)

    assert weight(ramp, ramp.end_epoch) == 1
    assert weight(ramp, ramp.end_epoch - 1) < 1


def test_both_ramps_must_be_over_before_members_are_selected():
    training = TrainingSpec(kl_ramp=Ramp(epochs=20), l2_ramp=Ramp(start_epoch=5, epochs=50))

    assert TrainingSpec().ramp_epochs == 80
    assert training.ramp_epochs == 55
