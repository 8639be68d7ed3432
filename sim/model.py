"""What every object of a topology is made of: a frozen model whose complaints are SpecErrors, and checked texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from sim import checks
from sim.errors import SpecError, from_pydantic


def _optional(check: Callable[[str], str]) -> AfterValidator:
    """A field's check that lets the empty text pass."""
    return AfterValidator(lambda text: check(text) if text else text)


Address = Annotated[str, _optional(checks.check_address)]
Cidr = Annotated[str, _optional(checks.check_cidr)]
Mac = Annotated[str, _optional(checks.check_mac)]
Label = Annotated[str, AfterValidator(lambda text: checks.check_name(text, "namespace"))]


class Model(BaseModel):
    """Frozen, closed to unknown fields, and its every complaint is a SpecError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise from_pydantic(error, type(self)) from None
        except SpecError as error:
            where = error.where or " ".join([type(self).__name__.lower(), str(data.get("name", ""))]).strip()
            raise SpecError(error.problem, where=where, mend=error.mend) from None
