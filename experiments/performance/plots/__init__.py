"""The pictures of the performance experiments: predicted beside measured, in the same two styles everywhere.

Each function is `(data, out, name)`, reads what an experiment's data.json holds, and writes NAME.png and NAME.svg:

- `ranking`: "rows": {"name", "predicted", "measured", "rounds": [...], "group"?, "extrapolated"?}; "x_label"?
- `curves`: "curves": {"name", "points": [{"load": messages/s, "predicted": {"p50", "p99"}, "measured": {"p50", "p99"},
  "lost_predicted", "lost_measured": fractions, "extrapolated"?}], "saturation"?: {"predicted", "measured"}: messages/s}
- `bars`: "rows": {"name": the path, "series": "single stream", "predicted", "measured", "extrapolated"?}; "x_label"?
- `lines`: "lines": {"name", "points": [{"x", "predicted", "measured", "extrapolated"?}]}, "x_label", "y_label",
  "log_x"?: bool, "log_y"?: bool (chosen by the figures where it is not said)

A figure is a number or {"value", "low", "high"}; null where there is none, and the picture then says so. Besides,
`data` has "title" (a sentence), "unit_shown" ("µs") with its "factor" (1e6, from seconds), "confidence" (0.95, or in
the provenance), and "provenance" for the footer. A logarithmic axis says that it is one.
"""

from __future__ import annotations

from experiments.performance.plots.bars import bars
from experiments.performance.plots.curves import curves
from experiments.performance.plots.lines import lines
from experiments.performance.plots.marks import MEASURED, PREDICTED
from experiments.performance.plots.ranking import ranking

__all__ = ["MEASURED", "PREDICTED", "bars", "curves", "lines", "ranking"]
