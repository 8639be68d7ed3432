"""Which files make up a Compose project, in which folder, with which variables: as `docker compose` finds them.

Follows compose-go's cli/options.go and docker/compose's cmd/compose/compose.go, in their order: the shell's variables;
`.env` of the working folder, or the files of `--env-file` (COMPOSE_ENV_FILES), where the shell has no such variable;
COMPOSE_FILE, if no file is named; else the first of FILE_NAMES in that folder or the nearest one above it that has one,
with its override file; `.env` of the folder that the project turns out to have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.compose.dotenv import read_env_files
from sim.errors import SpecError, did_you_mean
from sim.reading import read_text

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""Where Compose looks in a folder, in this order."""
OVERRIDE_NAMES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)
STDIN = "-"
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
"""What Go's strconv.ParseBool takes."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files to merge, in their order (STDIN, or paths as a person would write them), the project's folder, the
    variables, and what a reader should be told about the choice."""

    files: tuple[str, ...]
    directory: Path | None
    variables: dict[str, str]
    notes: tuple[str, ...] = ()


def find(
    files: Sequence[str | Path] = (),
    *,
    directory: str | Path | None = None,
    env_files: Sequence[str | Path] = (),
    environment: Mapping[str, str],
) -> Found:
    """The project that these options name. One file that is a folder: as if Compose ran there. Raises SpecError."""
    environment = {"PWD": os.getcwd(), **environment}
    given = [str(file) for file in files]
    here = Path()
    in_folder = len(given) == 1 and given[0] != STDIN and Path(given[0]).is_dir()
    if in_folder:
        here, given = Path(given[0]), []
    working = _resolved(directory) if directory is not None else None

    def folder() -> Path:
        first = next((file for file in given if file != STDIN), None)
        return working or (_resolved(first).parent if first else _resolved(here))

    said = [str(file) for file in env_files] or [f for f in environment.get("COMPOSE_ENV_FILES", "").split(",") if f]
    chosen = [Path(file) for file in said] or _default_env_file(folder(), environment)
    variables = {**read_env_files(chosen, environment), **environment}
    notes: list[str] = []
    if given:
        notes += _unread(given)
    elif "COMPOSE_FILE" in variables:
        separator = variables.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        given = [_listed(name, here) for name in variables["COMPOSE_FILE"].split(separator)]
    else:
        given = _search(working or here, above=not in_folder, notes=notes)
    chosen = [Path(file) for file in said] or _default_env_file(folder(), environment) or chosen
    variables = {**read_env_files(chosen, variables), **variables}
    return Found(tuple(given), folder(), variables, tuple(notes))


def text_of(file: str) -> str:
    """A file's text; STDIN's, which can be read once. Raises SpecError."""
    path = Path(file)
    mend = f"give a Compose file, or the folder that has one; a pipe as {STDIN}"
    try:
        return read_text(path, mend=mend, utf16=True)  # as go-yaml, and PowerShell's `>`
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise SpecError("no such file", where=file, mend=did_you_mean(path.name, near)) from None


def _resolved(path: str | Path) -> Path:
    """Absolute, with `..` folded and links kept, as Go's filepath.Abs has it."""
    return Path(os.path.abspath(path))


def _default_env_file(folder: Path, environment: Mapping[str, str]) -> list[Path]:
    off = environment.get("COMPOSE_DISABLE_ENV_FILE", "0")
    if off not in TRUE + FALSE:
        raise SpecError(f"{off!r} is neither true nor false", where="COMPOSE_DISABLE_ENV_FILE", mend="set it to 1 or 0")
    file = folder / ".env"
    return [file] if off in FALSE and file.is_file() else []


def _listed(name: str, here: Path) -> str:
    if name == STDIN:
        return name
    file = here / name
    if not name or not file.exists():
        raise SpecError(f"no such file: {name!r}" if name else "an empty name of a file", where="COMPOSE_FILE",
                        mend="list files that exist, or unset it")
    return str(file)


def _search(start: Path, *, above: bool, notes: list[str]) -> list[str]:
    for folder in (start, *_above(start)) if above else (start,):
        found = [folder / name for name in FILE_NAMES if (folder / name).exists()]
        if not found:
            continue
        overrides = [folder / name for name in OVERRIDE_NAMES if (folder / name).exists()]
        notes += [f"of several files {choice[0].name} is read, as Compose does, and not "
                  f"{', '.join(file.name for file in choice[1:])}" for choice in (found, overrides) if choice[1:]]
        return [str(file) for file in (*found[:1], *overrides[:1])]
    raise SpecError(f"no Compose file in this folder{' or one above it' if above else ''}", where=str(_resolved(start)),
                    mend=f"it should be called {FILE_NAMES[0]}")


def _above(start: Path) -> Iterator[Path]:
    """The folders above, written as a person in `start` would."""
    for depth, _ in enumerate(_resolved(start).parents, 1):
        yield start.joinpath(*[os.pardir] * depth)


def _unread(given: Sequence[str]) -> list[str]:
    """Override files that a named file would have had, had it not been named."""
    if len(given) > 1 or Path(given[0]).name not in FILE_NAMES:
        return []
    folder = Path(given[0]).parent
    beside = [name for name in OVERRIDE_NAMES if (folder / name).exists()]
    return [f"{beside[0]} is not read, as with docker compose -f: name the folder, or both files"] if beside else []
