"""`hopcast`: the commands. Tables go to stdout, progress and complaints to stderr; `--json` prints JSON only.

Exit codes: 0 all agreed (or nothing to compare), 1 prediction and measurement disagree, 2 the input is wrong, 3 it
can't be done here, 4 a measured time is no reference, 70 nobody foresaw it, 130 interrupted, 141 the reader of the pipe
has gone. A mistake is one line, never a traceback (`door.py`).
Whatever needs the live half or matplotlib is imported by the command that needs it: predicting starts fast.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.measure import Measurement

from experiments import render, results
from experiments.assumptions import assumptions, engines_of
from experiments.door import Commands, complain, debug, open_streams
from experiments.lab_commands import lab_app
from experiments.performance import commands as performance
from experiments.project_options import Project, reads_project
from experiments.terminal import Text, on_stderr, say, say_notes, show, show_json, terminal
from sim import questions
from sim.compose import check as check_project
from sim.compose.document import PLACE
from sim.errors import LabError, PlumbError, SpecError
from sim.fabric.costs import CostModel
from sim.predict import Prediction
from sim.predict import predict as predict_spec
from sim.spec import Spec

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
    epilog="Exit codes: 0 agreed, 1 disagreed, 2 bad input, 3 can't run here, 4 too busy for a reference, "
           "70 unforeseen.",
)
app.add_typer(lab_app, name="lab")

Costs = Annotated[Path | None, typer.Option(
    "--costs", help="what each step costs, as make bench writes it: results/costs/….json", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]
Questions = Annotated[list[str] | None, typer.Option(
    "--question", "-q", metavar="QUESTION", show_default=False,
    help="instead of the file's own: 'web -> db:5432 by name' (repeatable)")]

Jobs = Annotated[int, typer.Option(
    "--jobs", "-j", min=0, max=256, help="processes that ask; 0: as many as the questions are worth")]
PATIENCE = 2.0
"""Seconds after which whoever waits sees how far it is."""


@app.callback()
def options(
    debugging: Annotated[bool, typer.Option(
        "--debug", help="a traceback of what nobody foresaw (also HOPCAST_DEBUG=1)", show_default=False)] = False,
) -> None:
    """Forecasts every hop of Docker networking, then proves the forecast on real Docker Engines."""
    debug(debugging)


class ProbeKind(StrEnum):
    ping = "ping"
    tcp = "tcp"
    udp = "udp"


class By(StrEnum):
    name = "name"
    ip = "ip"


def forecast_of(spec: Spec, **how: Any) -> Prediction:
    """The prediction. What the engine would refuse, or can't be, is blamed on the line that asks for it."""
    try:
        return predict_spec(spec, **how)
    except PlumbError as error:
        raise PlumbError(error.refusal, where=_place(spec, error.where), mend=error.mend) from None
    except SpecError as error:
        if PLACE.match(error.where):
            raise
        raise SpecError(error.problem, where=_place(spec, error.where), mend=error.mend) from None


def _place(spec: Spec, where: str) -> str:
    """`compose.yaml:7: services.web`, for what an error calls `container web`; the file alone where no line says it."""
    return spec.places.get(where) or f"{spec.file}: {where}".rstrip(": ")


def prices(costs: Path | None) -> CostModel:
    """The calibrated prices in a file, or the nominal ones."""
    return CostModel.load(costs) if costs else CostModel()


def priced(costs: CostModel) -> str:
    """How far times that rest on these prices can be trusted, in a word."""
    return f"calibrated: {costs.source}" if costs.calibrated else costs.source


@app.command()
def doctor(json: Json = False) -> None:
    """What can run on this machine, and how to get what is missing."""
    from live.doctor import examine

    report = examine()
    if json:
        show_json(report.as_dict())
    else:
        show(render.doctor(report.as_dict()))
    raise typer.Exit(0 if report.can_run_lab else LabError.exit_code)


@app.command()
@reads_project()
def config(project: Project, json: Json = False) -> None:
    """The project as it was read, after merging: each value with the file and the line that it comes from."""
    from experiments import config as reading

    read = project.opened()
    check_project(read)
    said = engines_of(read)
    if json:
        show_json(reading.as_dict(read) | said)
        return
    off = [name for name in read.services if not read.runs(name)]
    say_notes([*read.notes, *([f"left out, for their profiles are off: {', '.join(off)}"] if off else [])])
    show(reading.table(read), Text(f"assumes {said['engine']}", "dim"))
    if "refused" in said:
        show(Text(f"refused where it is predicted: {said['refused']}", "yellow"))


@app.command()
@reads_project()
def predict(
    project: Project, question: Questions = None, costs: Costs = None, jobs: Jobs = 0, json: Json = False
) -> None:
    """Who reaches whom, by which way it fails, and why: no root, no engine, no network needed."""
    spec, model = project.spec(question or ()), prices(costs)
    with on_stderr(after=PATIENCE) as progress:
        forecast = forecast_of(spec, costs=model, traces=False, jobs=jobs,
                               progress=partial(progress, "questions asked"))
    if json:
        from experiments.forecast import question_as_dict

        asked = [question_as_dict(forecast, i) for i in range(len(forecast.questions))]
        show_json({"file": spec.file, "name": spec.name, "notes": list(spec.notes), "warnings": forecast.warnings,
                   "cautions": forecast.cautions, "assumes": assumptions(spec, forecast.plumbing),
                   "times": priced(model), "questions": asked, "plumbing": forecast.plumbing.as_dict()})
        return
    say_notes(spec.notes)
    show(*render.cautions(forecast))
    matrix, console = render.matrix(spec, forecast.questions, forecast.answers), terminal()
    if matrix and Measurement.get(console, console.options.update(width=1000), matrix).maximum <= console.width:
        show(matrix)
    show(render.predictions(forecast),
         Text(f"times are {priced(model)}", "dim"), render.assumed(spec, forecast),
         *(Text(f"engine: {warning}", "yellow") for warning in forecast.warnings))


@app.command()
@reads_project(file=False)
def walk(
    project: Project,
    words: Annotated[list[str], typer.Argument(
        metavar="[FILE] SRC DST", help="SRC: a container, service, host or client; DST: who is asked: web, web:80, "
        "172.17.0.2, dns:53/udp", show_default=False)],
    port: Annotated[int | None, typer.Option(
        min=1, max=65535, help="port, if DST has none", show_default=False)] = None,
    probe: Annotated[ProbeKind | None, typer.Option(help="instead of what DST suggests", show_default=False)] = None,
    by: Annotated[By | None, typer.Option(help="dial the name, or the address", show_default=False)] = None,
    published: Annotated[bool | None, typer.Option(
        "--published/--direct", help="dial the host's published port, or the container itself",
        show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="every step of every packet")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="one line a hop")] = False,
    costs: Costs = None,
    json: Json = False,
) -> None:
    """Hop by hop, what happens to the packets of one question, which headers change, and what decides."""
    from experiments.walk import flights

    if not 2 <= len(words) <= 3:
        raise typer.BadParameter("should be [FILE] SRC DST")
    *file, source, target = words
    spec, model = project.at(*file).spec(), prices(costs)
    if everything and brief:
        raise SpecError("--all shows every step, --brief one line a hop", mend="give one of them")
    if port and ":" in target:
        raise SpecError(f"two ports: {target!r} has one, --port {port} is another", mend="give it once")
    question = questions.ask(spec, source, f"{target}:{port}" if port else target, probe=probe.value if probe else "",
                             by=by.value if by else "", published=published)
    forecast = forecast_of(spec, questions=[question], costs=model)
    answer, trace = forecast.answers[0], forecast.traces[0]
    if json:
        show_json({"text": str(question), "question": question.model_dump(mode="json"),
                   "dial": forecast.dials[0].model_dump(mode="json"), "predicted": answer.as_dict(),
                   "because": forecast.reasons[0], "decided_by": render.death(answer, trace), "times": priced(model),
                   "assumes": assumptions(spec, forecast.plumbing), "cautions": forecast.cautions,
                   "packets": [flight.as_dict() for flight in flights(trace, everything=everything)]})
        return
    say_notes(spec.notes)
    others = [other for other, _ in forecast.others[0]]
    detail: render.Detail = "all" if everything else "brief" if brief else "packets"
    show(*render.cautions(forecast),
         render.walk(question, answer, trace, because=forecast.reasons[0], others=others, detail=detail,
                     priced=priced(model)), Text(), render.assumed(spec, forecast))


@app.command()
@reads_project()
def verify(
    project: Project,
    question: Questions = None,
    out: Annotated[Path | None, typer.Option(help="also write data.json, summary.md and plots there")] = None,
    vm: Annotated[bool | None, typer.Option(
        "--vm/--no-vm", help="measure in a micro-VM, or not; else if this machine can't", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Predict, deploy on real engines in a private lab, probe, capture, and compare packet by packet."""
    from experiments import micro_vm
    from experiments.verify import verify as verify_spec
    from live.doctor import examine

    spec = project.spec(question or ())
    if out is not None:
        results.check(out)
    forecast_of(spec, questions=())  # what the engine would refuse is said before a lab is built
    measuring = micro_vm.place(spec, examine(), vm, say)
    if not json:
        say_notes(spec.notes)
    with on_stderr() as progress:
        linux = micro_vm.release(measuring)
        verification = verify_spec(spec, progress=progress, measuring=measuring, linux=linux, predicting=forecast_of)
    try:
        if json:
            show_json(verification.as_dict())
        else:
            show(*render.verification(verification))
    finally:  # what was measured goes where it can, to the terminal or to files
        if out is not None:
            from experiments.publish import publish

            publish(verification, out, f"{spec.name}: predicted and measured")
    raise typer.Exit(verification.exit_code)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="instead of results/article")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="stored runs for what needs a micro-VM")] = False,
    json: Json = False,
) -> None:
    """The whole article, section by section: predicted, measured on real engines where they can run, compared."""
    from experiments.demo import demo as run

    with on_stderr() as progress:
        done = run(out=out, progress=progress, quick=quick)
    if json:
        show_json(done.as_dict())
    else:
        differing = [check for of in done.done.values() for check in of.checks if check.agreed is False]
        show(render.disagreements(differing), render.article(done.rows), *(
            Text(f"{name}: {render.sentence(of)}.") for name, of in done.data.items()),
            *(Text(f"assumes {each}", "dim") for each in done.engines),
            Text(f"every question, and where it comes from: {done.folder}", "dim"))
    for why in done.unwritten:
        complain(why)
    for name, why in done.failed.items():
        complain(f"the lab of {name} failed: {why}")
    raise typer.Exit(done.exit_code)


performance.register(app)


def main() -> None:
    """The entry point of the distribution."""
    open_streams()
    app(prog_name="hopcast")
