import pytest

from autolfads_spec.population import Exploit, PopulationSpec


def test_truncation_replaces_a_fifth_by_default_and_a_tournament_has_no_fraction():
    assert Exploit(strategy="Truncation").fraction == 0.2
    assert Exploit().fraction is None


def test_the_default_search_space_is_the_presets():
    names = [d.name for d in PopulationSpec().search_space]

    assert names == [
        "learningRate",
        "dropoutRate",
        "coordinatedDropoutRate",
        "l2Generator",
        "l2Controller",
        "klInitialCondition",
        "klInferredInputs",
    ]


def test_an_entry_replaces_the_presets_of_the_same_name_and_keeps_the_others():
    entry = {"name": "dropoutRate", "distribution": "Choice", "values": [0.1, 0.2]}

    space = PopulationSpec(search_space=[entry]).search_space

    assert [d.name for d in space] == [d.name for d in PopulationSpec().search_space]
    assert next(d for d in space if d.name == "dropoutRate").values == (0.1, 0.2)


def test_an_entry_the_preset_lacks_is_added():
    entry = {"name": "l2IcEncoder", "distribution": "LogUniform", "min": 1e-5, "max": 1.0}

    assert PopulationSpec(search_space=[entry]).search_space[-1].name == "l2IcEncoder"


def test_preset_none_searches_what_is_listed_and_nothing_else():
    entry = {"name": "dropoutRate", "distribution": "Uniform", "min": 0.0, "max": 0.5}

    assert PopulationSpec(search_space_preset="None").search_space == ()
    assert len(PopulationSpec(search_space_preset="None", search_space=[entry]).search_space) == 1


@pytest.mark.parametrize(("fraction", "size"), [(0.2, 5), (0.25, 4), (0.5, 2)])
def test_a_fraction_of_one_member_is_enough(fraction, size):
    PopulationSpec(size=size, exploit=Exploit(strategy="Truncation", fraction=fraction))
