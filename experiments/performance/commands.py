"""`hopcast calibrate` and `hopcast experiment`: time, measured in a lab and predicted.

Exit code 4: the run was made and written down, but the machine was too busy for it to be a reference.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.door import complain
from experiments.terminal import on_stderr, say, show_json, tell
from sim.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from experiments.performance.study import Study

STUDIES = {
    "host-vs-nat": "what a published port costs beside host mode",
    "latency-by-driver": "round trips of every network driver, TCP and UDP, blocking and spinning",
    "throughput-by-driver": "streams and datagrams of every network driver, offloads on and off",
    "load-curves": "latency and loss against offered load, up to saturation and past it",
    "conntrack-and-rules": "what rules, networks and published ports cost",
    "overlay-mtu": "what the MTU of an overlay does to latency and throughput",
}
"""Command -> what it tells; the module has the name with underscores."""

Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


def register(app: typer.Typer) -> None:
    """Adds the commands to `hopcast`."""

    @app.command()
    def calibrate(
        out: Annotated[Path | None, typer.Option(help="instead of results/costs/MACHINE.json")] = None,
        rounds: Annotated[int, typer.Option(min=1, max=50, help="how often each round trip is measured")] = 3,
        again: Annotated[Path | None, typer.Option(
            help="an earlier calibration's file: count its steps and fit it anew")] = None,
        json: Json = False,
    ) -> None:
        """Measure small round trips in a lab and fit what each step costs on this machine (under five minutes)."""
        from experiments.performance import bench

        with on_stderr() as progress:
            done, code = ((bench.fit_again(again, out, say, progress), 0) if again
                          else bench.calibrate(out, rounds, say, progress))
        if json:
            show_json(done.as_dict())
        else:
            tell(*bench.told(done))
        raise typer.Exit(code)

    @app.command()
    def experiment(
        name: Annotated[str, typer.Argument(help=f"one of: {', '.join(STUDIES)}; or all", show_default=False)],
        out: Annotated[Path | None, typer.Option(help="instead of results/NAME")] = None,
        rounds: Annotated[int | None, typer.Option(min=1, max=50, help="instead of what the experiment needs")] = None,
        costs: Annotated[Path | None, typer.Option(help="instead of results/costs/MACHINE.json")] = None,
        again: Annotated[bool, typer.Option(
            "--again", help="measure nothing: predict results/NAME anew; all: what has kept enough for that")] = False,
        json: Json = False,
    ) -> None:
        """Run a performance study: predicted from the calibration, measured in a lab, written to results/NAME."""
        from experiments.performance.study import calibrated

        names = list(STUDIES) if name == "all" else [name]
        studies = [study(each) for each in names]
        known = calibrated(costs)
        code = 0
        for each in studies:
            place = out / each.name if out and len(names) > 1 else out
            try:
                with on_stderr() as progress:
                    data, written = (
                        each.predict_again(known, out=place, say=say, progress=progress) if again else
                        each.carry_out(known, rounds=rounds or 0, out=place, say=say, progress=progress))
            except SpecError as error:
                if not again or name != "all":
                    raise
                say(f"left as it is: {error}")
                continue
            if json:
                show_json(data)
            else:
                tell(f"{data['title']}.")
            if written.failure:
                complain(written.failure)
            code = max(code, written.exit_code)
        if name == "all" and out is None:
            from experiments.performance import scorecard

            tell(scorecard.summary(scorecard.write(list(STUDIES), costs=costs)))
        raise typer.Exit(code)


def study(name: str) -> Study:
    """The study of a name; SpecError with the nearest one where there is none."""
    if name not in STUDIES:
        raise SpecError(f"no experiment is called {name!r}", mend=did_you_mean(name, [*STUDIES, "all"]))
    found: Study = import_module(f"experiments.performance.{name.replace('-', '_')}").STUDY
    return found
