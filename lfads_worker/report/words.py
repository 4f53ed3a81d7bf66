"""Words for people: hyperparameters by what they are, numbers with their nouns."""

HYPERPARAMETERS = {
    "learning_rate": "learning rate",
    "dropout_rate": "dropout rate",
    "coordinated_dropout_rate": "coordinated dropout rate",
    "l2_generator": "L2 weight, generator",
    "l2_controller": "L2 weight, controller",
    "l2_ic_encoder": "L2 weight, encoder of the initial condition",
    "l2_ci_encoder": "L2 weight, encoder of the controller's input",
    "kl_initial_condition": "KL weight, initial condition",
    "kl_inferred_inputs": "KL weight, inferred inputs",
}


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 neuron, 2 neurons."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def part_of(shown: int, total: int, noun: str) -> str:
    """How many of how many: "8 of 65 conditions", "all 7 conditions", "the only condition"."""
    if shown < total:
        return f"{shown} of {total} {noun}s"
    return f"the only {noun}" if total == 1 else f"all {total} {noun}s"


def in_run_yaml(name: str) -> str:
    """The name of a hyperparameter as users write it: l2_generator becomes l2Generator."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
