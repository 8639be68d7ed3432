"""Why a question failed, in Docker's words: the cause that an operator can act on, in one line.

`because(case)` goes from the step at which the packet died to what brought it there: who is on which network, what is
published, who listens, which route is missing. All of it is read from the world as it stood when the question was
asked, so nothing is said that the plumbing doesn't say. The death itself is `Case.death`; a walk shows both.

`cautions(facts)` is what should be known before any answer is read: subnets and addresses that somebody else has, too.
"""

from sim.reasons.case import BYSTANDERS, Case, decided, in_words
from sim.reasons.cautions import cautions
from sim.reasons.diagnosis import because
from sim.reasons.facts import Facts

__all__ = ["BYSTANDERS", "Case", "Facts", "because", "cautions", "decided", "in_words"]
