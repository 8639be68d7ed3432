"""The forecasts: reachability and path of every question, and the step counts behind latency.

Nothing here knows a driver or a rule: each forecast is a run of the plumbed world.
"""

from sim.predict.loss import undisturbed
from sim.predict.questions import Prediction, predict
from sim.predict.roundtrip import RoundTrip, latency, round_trip

__all__ = ["Prediction", "RoundTrip", "latency", "predict", "round_trip", "undisturbed"]
