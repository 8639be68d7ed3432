"""What a micro-VM's guest does for the host: the same code as on a host, started by the agent (`live/vm/agent.py`).

Run in the guest, as `python3 -m experiments.guest /dev/ttyS1`. A deployed topology stands until the guest ends or the
next one comes, so that a snapshot of the guest is one of the topology. Bodies and answers are JSON.

=========  ====================  ================================================
request    body                  answer
=========  ====================  ================================================
up         {spec}                {warnings}: the topology stands
ask        {questions}           a Measurement
execute    {command, on, limit}  {code, output} of a shell command, in the guest itself or where the label `on` is
=========  ====================  ================================================
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from experiments import measurement
from experiments.measure import Running
from live.vm import agent, scheduler
from sim.errors import LabError, SpecError, did_you_mean
from sim.spec import Question, Spec

EXEC_LIMIT = 120.0


class Guest:
    """What the guest knows between requests: the topology that stands."""

    def __init__(self) -> None:
        self.running: Running | None = None

    def up(self, body: Any, say: agent.Say) -> Any:
        """Brings a topology up, in place of one that stood."""
        if self.running is not None:
            self.running.down()
            self.running = None
        with scheduler.long_turns():
            self.running = Running.up(Spec.model_validate(body["spec"]), lambda what: say([what, 0, 0]))
        measurement.adapters()  # takes a moment, once: before a snapshot is taken rather than after
        return {"warnings": list(self.running.deployment.warnings)}

    def ask(self, body: Any, say: agent.Say) -> Any:
        """Asks it questions."""
        if self.running is None:
            raise LabError("no topology stands in the micro-VM")
        questions = [Question.model_validate(row) for row in body["questions"]]
        return self.running.ask(questions, lambda what, done, total: say([what, done, total])).as_dict()

    def execute(self, body: Any, say: agent.Say) -> Any:
        """A shell command: its exit code and what it said. On a host, `docker` speaks with that host's engine."""
        if self.running is not None:
            self.running.rest()
        inside, variables = self._at(body.get("on", ""))
        try:
            done = subprocess.run(
                [*inside, "sh", "-c", body["command"]], env=os.environ | variables, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=body.get("limit", EXEC_LIMIT), check=False)
        except subprocess.TimeoutExpired as error:
            return {"code": 124, "output": (error.stdout or b"").decode(errors="replace")}
        return {"code": done.returncode, "output": done.stdout.decode(errors="replace")}

    def _at(self, label: str) -> tuple[list[str], dict[str, str]]:
        """What enters the namespace of a label, and the variables there."""
        if not label:
            return [], {}
        if self.running is None:
            raise LabError("no topology stands in the micro-VM")
        places = {**self.running.deployment.namespaces(), **self.running.deployment.underlay()}
        owner = self.running.deployment.spec.netns_of(label)
        if owner not in places:
            raise SpecError(f"nothing is called {label!r} in this topology", mend=did_you_mean(label, places))
        dockerd = self.running.lab.daemons.get(label)
        return ["nsenter", f"--net={places[owner]}"], {"DOCKER_HOST": dockerd.url} if dockerd else {}


def main(path: str) -> None:
    guest = Guest()
    agent.serve(path, {"up": guest.up, "ask": guest.ask, "execute": guest.execute})


if __name__ == "__main__":
    main(sys.argv[1])
