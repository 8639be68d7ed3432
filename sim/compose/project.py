"""One Compose project out of its files: variables filled in, `extends` and `include` followed, files merged.

    read_project(found, profiles=["dev"], name="")

Follows compose-go's loader package, in its order, for each document of each file: variables; `extends`; what `!reset`
and `!override` remove; `include`; merging into what was read before; no entry twice; the form (`schema`); long forms.
Each value keeps the place where it was written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.compose import schema
from sim.compose.canonical import canonical, cast, walk
from sim.compose.document import Document, Item, parse
from sim.compose.dotenv import read_env_files
from sim.compose.files import Found, text_of
from sim.compose.interpolation import Variables
from sim.compose.merge import extend, merge, unique, without
from sim.compose.normal import normalized
from sim.compose.patterns import table
from sim.errors import SpecError, did_you_mean

IMPORTED = ("services", "volumes", "networks", "secrets", "configs", "models")
"""What `include` brings in."""
PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
MAX_FILES, MAX_DEPTH = 500, 50
"""Files that are merged, each time that they are; one that includes another, which includes another."""
REMOTE = re.compile(r"(?:[a-z]+://|git@|github\.com/)")


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its files have it. `root`: all of them merged, in `normal`'s forms, variables filled in."""

    root: Item
    name: str
    file: str
    directory: Path | None
    variables: Variables
    profiles: frozenset[str]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Every file that was read."""

    @property
    def services(self) -> dict[str, Item]:
        """All of them, those whose profiles are off as well."""
        top = self.root.mapping()
        return top["services"].mapping() if "services" in top else {}

    def runs(self, service: str) -> bool:
        """Whether a service has no profiles, or one that is on."""
        profiles = self.services[service].mapping().get("profiles")
        if profiles is None or not profiles.sequence():
            return True
        return "*" in self.profiles or any(profile.text() in self.profiles for profile in profiles.sequence())


@dataclass(frozen=True, slots=True)
class _Scope:
    """What holds for the files of a project, or of one that is included: what their paths are relative to, their
    variables, and the files that led here."""

    folder: Path
    variables: Variables
    above: tuple[str, ...] = ()


def read_project(
    found: Found, *, profiles: Sequence[str] = (), name: str = "", texts: dict[str, str] | None = None
) -> Project:
    """The project of these files; `texts` are those that need not be read. Raises SpecError."""
    reader = _Reader({} if texts is None else dict(texts))
    parsed = [reader.parsed(file) for file in found.files]
    chosen = _name([document.root for file in parsed for document in file], found, name)
    variables = Variables({**found.variables, "COMPOSE_PROJECT_NAME": chosen})
    root = normalized(reader.project(found.files, _Scope(found.directory or Path(), variables)), chosen)
    active = profiles or found.variables.get("COMPOSE_PROFILES", "").split(",")
    return Project(root, chosen, found.files[0], found.directory, variables,
                   frozenset(profile.strip() for profile in active), found.notes, tuple(reader.documents))


def _name(roots: Sequence[Item], found: Found, wanted: str) -> str:
    """As Compose: -p, COMPOSE_PROJECT_NAME, the last `name` of a file made to fit, the folder's name made to fit."""
    mend = "use small letters, digits, - and _, a letter or digit first"
    for given, where in ((wanted, "--project-name"),
                         (found.variables.get("COMPOSE_PROJECT_NAME"), "COMPOSE_PROJECT_NAME")):
        if given:
            if not PROJECT_NAME.fullmatch(given):
                raise SpecError(f"{given!r} is no name for a project", where=where, mend=mend)
            return given
    said = [root.value["name"] for root in roots if "name" in root.value and root.value["name"].value]
    if said:
        given = Variables(found.variables).fill(said[-1]).text()
        return _fitting(given) or said[-1].fail(f"{given!r} is no name for a project", mend)
    return _fitting(found.directory.name if found.directory is not None else "") or "hopcast"


def _fitting(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")


class _Reader:
    """Reads files, each once: stdin can't be read again. `documents`: what stands in each."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.documents: dict[str, list[Document]] = {}
        self.count = 0

    def parsed(self, file: str) -> list[Document]:
        if file not in self.documents:
            self.documents[file] = parse(self.texts[file] if file in self.texts else text_of(file), file)
        return self.documents[file]

    def project(self, files: Sequence[str], scope: _Scope) -> Item:
        """The files of one project merged, with paths that are relative to nothing any more."""
        root = Item({}, files[0], 1)
        for file in files:
            root = self.file(file, scope, root)
        return _resolved(root, scope.folder)

    def file(self, file: str, scope: _Scope, root: Item) -> Item:
        """One more file merged into a project."""
        self.count += 1
        if self.count > MAX_FILES or len(scope.above) > MAX_DEPTH:
            raise SpecError(f"more than {MAX_FILES} files, or {MAX_DEPTH} that include each other", where=file,
                            mend="take an `include` out")
        for document in self.parsed(file):
            own = cast(scope.variables.fill(document.root))
            own = self.extended(own, file, scope, document.removed)
            root = without(root, document.removed)
            own = self.with_includes(own, file, scope)
            root = merge(root, own) if root.value else own
            root = unique(root)
            schema.validate(root)
            root = unique(canonical(root.holding({k: v for k, v in root.value.items() if k != "version"})))
        return root

    # extends

    def extended(self, root: Item, file: str, scope: _Scope, removed: Sequence[tuple[str, ...]]) -> Item:
        """The same with the services that others extend merged into those."""
        if "services" not in root.value or root.value["services"].value is None:
            return root
        services = dict(root.value["services"].mapping())
        for name in services:
            services[name] = self._extended(name, services, file, scope, removed, ())
        return root.holding({**root.value, "services": root.value["services"].holding(services)})

    def _extended(
        self, name: str, services: dict[str, Item], file: str, scope: _Scope, removed: Sequence[tuple[str, ...]],
        above: tuple[tuple[str, str], ...],
    ) -> Item:
        service = services[name]
        if service.value is None or "extends" not in service.mapping():
            return service
        extends = service.value["extends"]
        fields = extends.mapping() if isinstance(extends.value, dict) else {"service": extends}
        if "service" not in fields:
            extends.fail("which service it extends is missing", "write `extends: {service: NAME}`")
        wanted = fields["service"].text()
        step = (file, name)
        if step in above or len(above) > MAX_DEPTH:
            chain = [service for _, service in (*above[above.index(step) if step in above else 0 :], step)]
            extends.fail(f"services extend each other in a circle: {' -> '.join(chain)}", "take one `extends` out")
        base_removed: Sequence[tuple[str, ...]] = ()
        others, base_file = services, file
        if "file" in fields and fields["file"].value is not None:
            others, base_removed, base_file = self._base_file(fields["file"], scope)
        if wanted not in others:
            fields["service"].fail(
                f"unknown service {wanted!r}{f' in {base_file}' if base_file != file else ''}",
                did_you_mean(wanted, others))
        base = self._extended(wanted, others, base_file, scope, base_removed, (*above, step))
        if base.value is None:
            return service
        base = without(base, [keys[2:] for keys in removed if keys[:2] == ("services", name) and len(keys) > 2])
        merged = extend(base, service)
        merged = service.holding({key: entry for key, entry in merged.value.items() if key != "extends"})
        services[name] = merged
        return merged

    def _base_file(self, said: Item, scope: _Scope) -> tuple[dict[str, Item], tuple[tuple[str, ...], ...], str]:
        """The services of another file, for one of them to be extended; what it resets; its name."""
        path = self._local(said, scope.folder)
        file = _shown(path)
        root = Item({}, file, 1)
        removed: tuple[tuple[str, ...], ...] = ()
        with said.blamed():
            documents = self.parsed(file)
        for document in documents:
            own = cast(scope.variables.fill(document.root))
            root = without(root, document.removed)
            root = unique(merge(root, own) if root.value else own)
            root = unique(canonical(root))
            removed = document.removed
        if "services" not in root.value:
            said.fail(f"{file} has no services", "name a file that has")
        return dict(_resolved(root, path.parent).value["services"].mapping()), removed, file

    # include

    def with_includes(self, root: Item, file: str, scope: _Scope) -> Item:
        """The same with what `include` brings in."""
        if "include" not in root.value:
            return root
        schema.optional(schema.include)(root.value["include"])
        found = {key: entry for key, entry in root.value.items() if key != "include"}
        for entry in root.value["include"].sequence():
            with entry.blamed():
                included = self._included(entry, file, scope)
            for key in IMPORTED:
                if key not in included.value:
                    continue
                mine = dict(found[key].mapping()) if key in found else {}
                for name, item in included.value[key].mapping().items():
                    if name in mine and mine[name].plain() != item.plain():
                        mine[name].fail(
                            f"{key}.{name} conflicts with what {item.file}:{item.line} includes",
                            "give it another name, or change it in a file of its own that overrides this one")
                    mine.setdefault(name, item)
                found[key] = found.get(key, included.value[key]).holding(mine)
        return root.holding(found)

    def _included(self, entry: Item, file: str, scope: _Scope) -> Item:
        fields = entry.mapping() if isinstance(entry.value, dict) else {"path": entry}
        if "path" not in fields:
            entry.fail("a path is missing", "write `- path: FILE`")
        paths = [self._local(path, scope.folder) for path in fields["path"].texts()]
        if not paths:
            entry.fail("a path is missing", "write `- path: FILE`")
        folder = paths[0].parent
        if "project_directory" in fields and fields["project_directory"].value:
            folder = _absolute(fields["project_directory"].text(), scope.folder)
        env_files = [_absolute(each.value, scope.folder) for each in fields["env_file"].texts()
                     ] if "env_file" in fields else []
        if not env_files and (folder / ".env").is_file():
            env_files = [folder / ".env"]
        above = (*scope.above, file)
        seen = {_absolute(each, Path.cwd()) for each in above if each != "-"}
        if paths[0] in seen:
            entry.fail(f"files include each other in a circle: {' -> '.join([*above, _shown(paths[0])])}",
                       "take one `include` out")
        values = scope.variables.values
        variables = replace_values(scope.variables, {**read_env_files(env_files, values), **values})
        return self.project([_shown(path) for path in paths], _Scope(folder, variables, above))

    def _local(self, said: Item, folder: Path) -> Path:
        text = said.text()
        if REMOTE.match(text):
            said.fail(f"{text!r} is no local file, and Hopcast fetches nothing", "fetch it, and name the file")
        return _absolute(text, folder)


def replace_values(variables: Variables, values: dict[str, str]) -> Variables:
    """Other values; what is missing is told to the same list."""
    other = Variables(values)
    other.unset = variables.unset
    return other


def _absolute(path: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / Path(path).expanduser()))


def _shown(path: Path) -> str:
    """A path as a person in this folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _resolved(root: Item, folder: Path) -> Item:
    """The same with paths from the root; `folder` is what they are relative to."""

    def path(item: Item) -> Item:
        if not isinstance(item.value, str) or not item.value or REMOTE.match(item.value):
            return item
        return item.holding(str(_absolute(item.value, folder)))

    keys = ("env_file.[].path", "label_file.[]", "extends.file")
    return walk(root, table({f"services.*.{key}": path for key in keys}))
