"""The options of every command that reads a Compose project: FILE, `-f`, `--profile`, `-p` and so on, as in Compose.

A command says `@reads_project()` and takes `project: Project`, which stands first among its parameters. The options
take its place in the command line, and `project.spec()` reads what they name.

    @app.command()
    @reads_project()
    def predict(project: Project, json: Json = False) -> None: ...

A new option of this kind is a field of Project, with its Annotated type: every command has it then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from sim import compose
from sim.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the command line says of the project. Nothing said: the one in this folder, or in one above it."""

    file: Annotated[Path | None, typer.Argument(
        metavar="FILE", help="a Compose file, the folder that has one, or - for stdin; else as docker compose finds it",
        show_default=False)] = None
    files: Annotated[list[str], typer.Option(
        "--file", "-f", metavar="FILE", help="a Compose file; several are merged in their order", show_default=False,
    )] = field(default_factory=list)
    profiles: Annotated[list[str], typer.Option(
        "--profile", metavar="NAME", help="switch a profile on (repeatable)", show_default=False,
    )] = field(default_factory=list)
    project_name: Annotated[str, typer.Option(
        "--project-name", "-p", metavar="NAME", help="the project's name", show_default=False)] = ""
    project_directory: Annotated[Path | None, typer.Option(
        "--project-directory", metavar="DIR", help="what relative paths are relative to, and where .env is",
        show_default=False)] = None
    env_files: Annotated[list[str], typer.Option(
        "--env-file", metavar="FILE", help="instead of .env (repeatable)", show_default=False,
    )] = field(default_factory=list)
    beside: Annotated[list[str], typer.Option(
        "--with", metavar="FILE", help="a file with what else stands under x-hopcast (repeatable)", show_default=False,
    )] = field(default_factory=list)
    stack: Annotated[bool, typer.Option(
        "--stack", help="read it as a file for docker stack deploy", show_default=False)] = False

    @property
    def first(self) -> str:
        """The first file that the command line names, or an empty text."""
        return str(self.file) if self.file else next(iter(self.files), "")

    @property
    def said(self) -> bool:
        """Whether the command line names a project at all."""
        return bool(self.first)

    def at(self, *file: str) -> Project:
        """The same with FILE, where the command had that among its own words."""
        return replace(self, file=Path(*file) if file else None)

    def spec(self, questions: Sequence[str] = ()) -> Spec:
        """The topology that they describe, with these questions in the place of its own, if any. Raises SpecError."""
        return compose.spec_of(self.opened(questions))

    def opened(self, questions: Sequence[str] = ()) -> compose.Project:
        """The project as its files have it, merged. Raises SpecError."""
        return compose.open_project(
            *([self.file] if self.file else []), *self.files,
            profiles=self.profiles, name=self.project_name, directory=self.project_directory,
            env_files=self.env_files, beside=self.beside, stack=self.stack, questions=questions)


def reads_project(*, file: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command for typer of a function whose first parameter is a Project: the fields of Project become options,
    and FILE the first argument, unless the command has that among words of its own (`file=False`, see Project.at)."""
    hints = get_type_hints(Project, include_extras=True)
    own = [_parameter(each, hints[each.name]) for each in fields(Project) if file or each.name != "file"]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        project, *others = inspect.signature(command, eval_str=True).parameters.values()

        @wraps(command)
        def wrapped(**given: Any) -> None:
            said = {each.name: given.pop(each.name) for each in own}
            command(**{project.name: Project(**said)}, **given)

        arguments = own[:1] if file else []
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                      for each in (*arguments, *others, *own[len(arguments):])]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorate


def _parameter(of: Field[Any], annotation: Any) -> inspect.Parameter:
    default = of.default if of.default is not MISSING else []
    return inspect.Parameter(of.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
