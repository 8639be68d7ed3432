"""A run as files: into `results/NAME` where it was quiet, and beside it where it was noisy.

A folder of `results/` is a reference: what a reader compares with. So only a quiet run is written there. A noisy one
goes to `hopcast-noisy/NAME` in the current folder, says so in its summary and on the terminal, and leaves the reference
as it was. A folder that the user named takes any run, unless it lies in `results/` itself.

All or nothing: everything is written to a folder beside the target first, plots included; only when all of it is there
do the files take the place of the former ones, the summary last. If one of them can't, those before it go back.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import results
from experiments.performance.quality import Quality
from experiments.results import ResultsError

NOISY = Path("hopcast-noisy")
"""In the current folder: a run that is no reference."""
NOISY_EXIT_CODE = 4
"""The run was made and written, but it was noisy and became no reference result."""
NO_CAPTURE = "none: no sniffers while time is measured"
DATA, SUMMARY = "data.json", "summary.md"


@dataclass(frozen=True, slots=True)
class Published:
    """Where a run went. `exit_code` is what its command ends with: 0, or 4 where it was noisy. `failure`: why it went
    nowhere, and can only be shown."""

    folder: Path
    quality: Quality
    failure: str = ""

    @property
    def exit_code(self) -> int:
        if self.failure:
            return ResultsError.exit_code
        return 0 if self.quality.quiet else NOISY_EXIT_CODE


def publish(name: str, data: Mapping[str, Any], quality: Quality, *, draw: Callable[[Mapping[str, Any], Path], None],
            summary: Callable[[Mapping[str, Any]], str], out: Path | None = None,
            say: Callable[[str], None] = print) -> Published:
    """Write data.json, what `draw` draws, and summary.md.

    `data` has its `provenance`; what is added to it is `noise` and `capture`. `draw` gets the data as written and a
    folder, `summary` the data. ResultsError where it can't be written; whatever they raise comes through, and the
    former result is whole.
    """
    folder = target(name, quality, out)
    about = {**data.get("provenance", {}), "noise": quality.as_dict(), "capture": NO_CAPTURE}
    whole = {**data, "provenance": about}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    except OSError as error:
        raise ResultsError(f"can't write {folder}: {error.strerror or error}") from error
    with stage:
        made = Path(stage.name) / "made"
        results.write_json(made / DATA, whole)
        draw(whole, made)
        told = summary(whole)
        results.write(made / SUMMARY, told if quality.quiet else _warned(told, quality))
        files = sorted((path.relative_to(made) for path in made.rglob("*") if path.is_file()),
                       key=lambda path: (path == Path(SUMMARY), path))
        replace(files, made, folder, former=Path(stage.name) / "former")
    if quality.quiet:
        say(f"wrote {folder}/")
    else:
        kept = "" if folder == out else f"; {results.folder(name)} is left as it was"
        say(f"noisy run ({'; '.join(quality.reasons)}): wrote {folder}/{kept}")
    return Published(folder, quality)


def target(name: str, quality: Quality, out: Path | None = None) -> Path:
    """Where a run belongs: `out`, else `results/NAME`; a noisy one never below the folder of reference results."""
    wanted = out or results.folder(name)
    reference = results.folder(name).parent
    if quality.quiet or not wanted.resolve().is_relative_to(reference.resolve()):
        return wanted
    return Path.cwd() / NOISY / name


def replace(files: Sequence[Path], made: Path, folder: Path, *, former: Path) -> None:
    """Move `files` of `made` to `folder` in their order; if one can't be, all is put back. Others in `folder` stay.

    `former` is an empty or missing folder on the same file system: what was replaced lies there afterwards.
    """
    taken: list[Path] = []
    placed: list[Path] = []
    try:
        for file in files:
            for place in (folder / file, former / file):
                place.parent.mkdir(parents=True, exist_ok=True)
            if (folder / file).exists():
                (folder / file).rename(former / file)
                taken.append(file)
            (made / file).rename(folder / file)
            placed.append(file)
    except BaseException as error:
        for file in reversed(placed):
            with contextlib.suppress(OSError):
                (folder / file).unlink()
        for file in reversed(taken):
            with contextlib.suppress(OSError):
                (former / file).rename(folder / file)
        if isinstance(error, OSError):
            raise ResultsError(f"can't write {folder}: {error.strerror or error}") from error
        raise


def _warned(summary: str, quality: Quality) -> str:
    """The summary with a warning under its heading."""
    heading, newline, rest = summary.partition("\n")
    warning = f"> **A noisy run, no reference result:** {'; '.join(quality.reasons)}."
    return f"{heading}\n\n{warning}\n{newline}{rest}" if heading.startswith("#") else f"{warning}\n\n{summary}"
