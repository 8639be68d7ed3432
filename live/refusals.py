"""What an engine answers when it won't, as Hopcast's own errors: PlumbError in the engine's words where it refuses,
LabError where it can't (a kernel that lacks what the engine asks it for, an engine that has gone).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException

from sim.errors import LabError, PlumbError

NOT_SUPPORTED = ("operation not supported", "protocol not supported")
"""EOPNOTSUPP and EPROTONOSUPPORT are the kernel's answers and not the engine's: a dummy parent without the dummy
driver, for one."""

FEATURES = {"protocol not": "sctp", "ipvlan port": "ipvlan", "macvlan port": "macvlan", "vlan link": "8021q"}
"""Words of such an answer -> the feature that it was about, by the doctor's name."""


@contextmanager
def engine_answers(where: str) -> Iterator[None]:
    """`where` names the object that the block asks an engine for."""
    try:
        yield
    except APIError as error:
        said = str(error.explanation or error)
        if said.endswith(NOT_SUPPORTED):
            lacking = next((name for words, name in FEATURES.items() if words in said), "what the engine asks it for")
            raise LabError(f"can't be measured here: kernel lacks {lacking} ({where}: {said})",
                           mend="see hopcast doctor") from error
        raise PlumbError(said, where=where) from error
    except DockerException as error:
        raise LabError(f"{where}: {error}") from error
    except OSError as error:  # requests' errors: the engine hung up, or a call took longer than its time limit
        raise LabError(f"{where}: the engine does not answer: {error}", mend="see the lab's dockerd.log") from error
