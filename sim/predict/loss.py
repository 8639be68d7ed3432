"""How probable a prediction is where cables lose frames: it is of the case in which none of them is lost.

Whether a frame is lost is drawn for each, on each cable. To run all cases would take two to the power of the frames and
tell little: what is lost is sent again or not, and the answer is late or none. So the model runs the one case and says
how probable it is; a verification compares when the cables lost nothing meanwhile, and else says that they did.
"""

from __future__ import annotations

from sim.spec import Spec
from sim.trace import Kind, Trace
from sim.underlay import WIRE


def undisturbed(spec: Spec, trace: Trace) -> float:
    """Probability that no cable loses a frame of this trace, 0-1. One that loses all frames is no chance: the trace
    knows it."""
    chance = 1.0
    for step in trace:
        if step.kind is Kind.LINK:  # the switch's end of a cable is named for the machine at the other one
            loss = spec.link_of(step.device if step.where == WIRE else step.where).loss
            chance *= 1 - loss if loss < 1 else 1.0
    return chance
