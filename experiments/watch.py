"""What stands around a topology while questions are asked: who answers them, sniffers, and hands on every cache.

Responders listen where the Spec says that somebody does; sniffers stand at every interface that is up, of every host,
client and container, as these are at the time.
"""

from __future__ import annotations

from contextlib import ExitStack

from live.capture import Capture, Point
from live.cold import Caches
from live.deployment import Deployment
from live.names import Names
from live.responder import ListenerAt, Responders
from sim.spec import Client, Container


class Watch:
    """Stands from construction to `close`. `known`: the deployment's names as of now. LabError where it can't be set
    up; nothing stands then."""

    def __init__(self, deployment: Deployment, known: Names) -> None:
        paths = deployment.namespaces()
        self.known = known
        self.points = [Point(label, device, str(paths[label]), real) for label, device, real in known.points()]
        with ExitStack() as stack:
            stack.enter_context(Responders(_listeners(deployment)))
            self.caches = stack.enter_context(Caches(deployment))
            self.capture = stack.enter_context(Capture(self.points))
            self._open = stack.pop_all()
        self.closed = False

    def close(self) -> None:
        """A second time does nothing."""
        self.closed = True
        self._open.close()


def _listeners(deployment: Deployment) -> list[ListenerAt]:
    spec = deployment.spec
    boxes: list[Container | Client] = [*spec.containers, *spec.clients]
    return [ListenerAt(box.name, str(deployment.netns_path(box.name)), each.port, each.protocol, each.address,
                       as_asked=isinstance(box, Client) and box.everywhere)
            for box in boxes if box.name not in deployment.ended for each in box.listens]
