"""`hopcast lab`: a lab that stays until it is told to go, to look at with Docker's and Linux's own tools.

In namespaces of this machine, or in a micro-VM (`--vm`), which needs no root; `exec` runs a command in the latter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from experiments import terminal
from experiments.project_options import Project, reads_project
from experiments.terminal import show, show_json, tell
from sim.errors import LabError, SpecError
from sim.spec import Host, Spec

if TYPE_CHECKING:
    from live.state import Record

lab_app = typer.Typer(no_args_is_help=True, help="A private lab with real Docker Engines: up, exec, status, down.")
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


@lab_app.command()
@reads_project()
def up(
    project: Project,
    hosts: Annotated[int, typer.Option(min=1, max=50, help="without a file: how many, h1, h2, …")] = 1,
    swarm: Annotated[bool, typer.Option("--swarm", help="they form a swarm, the first one its manager")] = False,
    vm: Annotated[bool, typer.Option("--vm", help="in a micro-VM: no root, and a kernel that has everything")] = False,
    json: Json = False,
) -> None:
    """Bring up a lab and leave it: hosts and clients in namespaces of their own, an engine on each host.

    With a FILE that is deployed; without one there are a host and a client, empty."""
    if project.said and hosts > 1:
        raise SpecError(f"{project.first} says itself which hosts there are", where="--hosts",
                        mend="leave --hosts out")
    spec = (project.spec() if project.said else _empty(hosts)).model_copy(update={"swarm": swarm})

    def say(what: str) -> None:
        if not json:
            terminal.say(what)

    if vm:
        _up_in_vm(spec, say, json)
        return
    from live.deploy import deploy
    from live.lab import Lab

    with Lab.up(spec, keep=True, progress=say) as lab:
        deployment = deploy(lab, spec, say)
        for warning in deployment.warnings:
            say(f"engine: {warning}")
        record = lab.record
    row = describe(record)
    if json:
        show_json(row)
        return
    tell(f"lab {row['run']} is up")
    for label, url in row["engines"].items():
        tell(f"  {label}: docker -H {url} ps")
    for label, namespace in row["namespaces"].items():
        tell(f"  {label}: nsenter --net=/run/netns/{namespace}")
    tell(f"  end it with: hopcast lab down {row['run']}")


def _empty(hosts: int) -> Spec:
    """A host called `host` and a client, or hosts called h1, h2 and so on."""
    if hosts == 1:
        return Spec()
    return Spec(hosts=tuple(Host(name=f"h{n + 1}", address=f"192.168.99.{101 + n}/24") for n in range(hosts)))


def _up_in_vm(spec: Spec, say: Callable[[str], None], json: bool) -> None:
    from experiments import micro_vm

    with micro_vm.standing(spec, say, keep=True) as guest:
        row = guest.record.as_dict()
    if json:
        show_json(row)
        return
    tell(f"lab {row['run']} is up in a {row['where']}")
    for host in row["hosts"]:
        tell(f"  {host}: hopcast lab exec {row['run']} --on {host} docker ps")
    tell(f"  end it with: hopcast lab down {row['run']}")


@lab_app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec(
    run: Annotated[str, typer.Argument(help="the lab's id", show_default=False)],
    command: Annotated[list[str], typer.Argument(help="what to run, as one would in a shell", show_default=False)],
    on: Annotated[str, typer.Option(
        help="a host, client or container, @wire or @dns; else the guest itself", show_default=False)] = "",
) -> None:
    """Run a command in a lab that is up in a micro-VM; its output and its exit code. Put --on before the lab's id."""
    from live.vm.guest import Guest

    with Guest.attach(run) as guest:
        answer = guest.ask("execute", {"command": " ".join(command), "on": on})
    sys.stdout.write(answer["output"])
    raise typer.Exit(answer["code"])


@lab_app.command()
def image(
    fresh: Annotated[bool, typer.Option("--fresh", help="build it again, with what Debian has now")] = False,
    json: Json = False,
) -> None:
    """Build the micro-VM's image, if it is not there: Debian's packages and this project, as any user."""
    from live.vm import image as images

    built = images.ready(lambda what: None if json else terminal.say(what), fresh=fresh).as_dict()
    if json:
        show_json(built)
        return
    tell(f"{built['folder']}: {built['bytes'] >> 20} MB; Linux {built['kernel']}, Docker Engine {built['engine']}, "
          f"{len(built['debs'])} Debian packages, {len(built['wheels'])} Python packages")


@lab_app.command()
def status(json: Json = False) -> None:
    """Every lab of which something is there."""
    from live import cleanup, state
    from live.vm import runs

    rows = [describe(record) for record in state.records()]
    rows += [{"engines": {}, "namespaces": {}} | record.as_dict() for record in runs.records()]
    known = {row["run"] for row in rows}
    rows += [{"run": run, "state": "left over", "engines": {}, "namespaces": {}, "name": ""}
             for run in cleanup.present() if run not in known]
    if json:
        show_json({"labs": rows})
        return
    if not rows:
        tell("no lab is up")
        return
    table = Table()
    for heading in ("lab", "state", "topology", "engines", "namespaces"):
        table.add_column(heading, overflow="fold")  # an engine's URL is there to be copied
    for row in rows:
        table.add_row(row["run"], row["state"], row["name"], "\n".join(row["engines"].values()) or row.get("where", ""),
                      "\n".join(row["namespaces"].values()))
    show(table)


@lab_app.command()
def down(
    run: Annotated[str, typer.Argument(
        help="the lab's id; without it: every lab that nobody uses", show_default=False)] = "",
    force: Annotated[bool, typer.Option("--force", help="also labs that another running command uses")] = False,
    json: Json = False,
) -> None:
    """End labs and remove all that they left."""
    from live import cleanup
    from live.vm import runs

    present = [*cleanup.present(), *(record.run for record in runs.records())]
    if run and run not in present:
        raise LabError(f"no lab {run} is there", mend="hopcast lab status shows those that are")
    ended = runs.end_all(run, force=force)
    if not run:
        ended += cleanup.down_all(force=force)
    elif not ended and cleanup.down(run, force=force):
        ended = [run]
    left = [r for r in ([run] if run else present) if r not in ended]
    if json:
        show_json({"ended": ended, "in_use": left})
    else:
        tell(f"ended: {', '.join(ended)}" if ended else "nothing to end")
        if left:
            tell(f"in use, not ended: {', '.join(left)} (--force ends them)")
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
