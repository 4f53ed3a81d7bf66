"""What every block of run.yaml has in common: frozen, strict, camelCase in YAML, rules between its fields.

A rule that involves several fields is stated once as a `Rule`: as Python for this package and as CEL for the
Kubernetes API server, side by side, so that the two cannot drift unseen.
This module knows no field of any block.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

# Marks for `Field(json_schema_extra=…)`. A field without a change mark cannot change after creation.
ANY_TIME: dict[str, Any] = {"x-change": "any time"}
# A driver keeps the run.yaml that it was started with.
FOR_NEXT_ATTEMPT: dict[str, Any] = {"x-change": "for the next attempt"}
WHILE_SUSPENDED: dict[str, Any] = {"x-change": "while suspended"}
ONLY_GROW: dict[str, Any] = {"x-change": "may only grow"}
FIELD_BY_FIELD: dict[str, Any] = {"x-change": "field by field"}
# The default depends on another field, so the API server must not fill it in.
DEFAULT_ELSEWHERE: dict[str, Any] = {"x-default-elsewhere": True}

LARGEST_SEED = 2**31 - 1  # a signed 32-bit number, which every random number generator takes


def wanted(phrase: str) -> dict[str, Any]:
    """How messages and the reference name the allowed values, where the schema alone says too little."""
    return {"x-wanted": phrase}


def list_keyed_by(name: str) -> dict[str, Any]:
    """Kubernetes then merges the list entry by entry and refuses a second entry with the same key."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}


LIST_OF_UNIQUE: dict[str, Any] = {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True)
class Rule:
    """A condition between fields of one block.

    Attributes:
      fields: camelCase names, dotted below this block, that the rule reads; reported and cured together.
      cel: the same condition for the API server, `self` being the block; empty where CEL has another guard.
      message: what the API server says when it does not hold.
      broken: the sentence after "path: " when it does not hold, else None.
    """

    fields: tuple[str, ...]
    cel: str
    message: str
    broken: Callable[[Any], str | None]


class Block(BaseModel):
    """Base of all blocks."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        problems = [(rule.fields, sentence) for rule in self.rules if (sentence := rule.broken(self))]
        if problems:
            text = "; ".join(sentence for _, sentence in problems).replace("{", "{{").replace("}", "}}")
            raise PydanticCustomError("rules", text, {"problems": problems})
        self._complete()
        return self

    def _complete(self) -> None:
        """Fill in what follows from other fields, once all rules hold."""

    @classmethod
    def blocks_inside(cls) -> Iterator[tuple[str, type["Block"]]]:
        """Every direct child block as (camelCase name, class); the entries of a list count as one child."""
        for field in cls.model_fields.values():
            child = block_class(field.annotation)
            if child is not None:
                yield str(field.alias), child


def block_class(annotation: Any) -> type[Block] | None:
    """The block in an annotation such as `DataSpec`, `DataSpec | None` or `tuple[SearchDimension, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = block_class(inner)
        if found is not None:
            return found
    return None
