"""`hopcast lab`: a lab that stays until it is told to go, to look at with Docker's and Linux's own tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from experiments import results
from sim import compose
from sim.errors import LabError
from sim.spec import Spec

if TYPE_CHECKING:
    from live.state import Record

lab_app = typer.Typer(no_args_is_help=True, help="A private lab with real Docker Engines: up, status, down.")
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


@lab_app.command()
def up(
    file: Annotated[Path | None, typer.Argument(
        help="a Compose file to deploy; without one: a host and a client, empty", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Bring up a lab and leave it: hosts and clients in namespaces of their own, an engine on each host."""
    from live.deploy import deploy
    from live.lab import Lab

    spec = compose.load(file) if file else Spec()
    def say(what: str) -> None:
        if not json:
            print(what, file=sys.stderr)

    with Lab.up(spec, keep=True, progress=say) as lab:
        deployment = deploy(lab, spec, say)
        for warning in deployment.warnings:
            say(f"engine: {warning}")
        record = lab.record
    row = describe(record)
    if json:
        sys.stdout.write(results.to_json(row))
        return
    print(f"lab {row['run']} is up")
    for label, url in row["engines"].items():
        print(f"  {label}: docker -H {url} ps")
    for label, namespace in row["namespaces"].items():
        print(f"  {label}: nsenter --net=/run/netns/{namespace}")
    print(f"  end it with: hopcast lab down {row['run']}")


@lab_app.command()
def status(json: Json = False) -> None:
    """Every lab of which something is there."""
    from live import cleanup, state

    rows = [describe(record) for record in state.records()]
    known = {row["run"] for row in rows}
    rows += [{"run": run, "state": "left over", "engines": {}, "namespaces": {}, "name": ""}
             for run in cleanup.present() if run not in known]
    if json:
        sys.stdout.write(results.to_json({"labs": rows}))
        return
    if not rows:
        print("no lab is up")
        return
    table = Table()
    for heading in ("lab", "state", "topology", "engines", "namespaces"):
        table.add_column(heading, overflow="fold")  # an engine's URL is there to be copied
    for row in rows:
        table.add_row(row["run"], row["state"], row["name"], "\n".join(row["engines"].values()),
                      "\n".join(row["namespaces"].values()))
    Console().print(table)


@lab_app.command()
def down(
    run: Annotated[str, typer.Argument(
        help="the lab's id; without it: every lab that nobody uses", show_default=False)] = "",
    force: Annotated[bool, typer.Option("--force", help="also labs that another running command uses")] = False,
    json: Json = False,
) -> None:
    """End labs and remove all that they left."""
    from live import cleanup

    present = cleanup.present()
    if run and run not in present:
        raise LabError(f"no lab {run} is there", mend="hopcast lab status shows those that are")
    ended = ([run] if cleanup.down(run, force=force) else []) if run else cleanup.down_all(force=force)
    left = [r for r in ([run] if run else present) if r not in ended]
    if json:
        sys.stdout.write(results.to_json({"ended": ended, "in_use": left}))
    else:
        print(f"ended: {', '.join(ended)}" if ended else "nothing to end")
        if left:
            print(f"in use, not ended: {', '.join(left)} (--force ends them)")
    if run and left:
        raise typer.Exit(LabError.exit_code)


def describe(record: Record) -> dict[str, Any]:
    """A lab as the commands show it."""
    condition = "left over" if record.orphan else "up" if record.ready else "coming up"
    return {
        "run": record.run, "state": condition, "kept": record.kept, "name": str(record.spec.get("name", "")),
        "engines": {label: f"unix://{record.folder / record.folders[label]}/docker.sock" for label in record.engines},
        "namespaces": dict(record.namespaces),
    }
