"""Command-line values that know what was probably meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zgcore.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def did_you_mean(value: str, possibilities: Iterable[str]) -> str:
    """' Did you mean "base"?' or nothing."""
    close = closest(value.lower(), possibilities, cutoff=0.5)
    return f' Did you mean "{close}"?' if close else ""


class SuggestingGroup(click.Group):
    """A group of commands that suggests the one a typo stands for."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            commands = self.list_commands(ctx)
            known = ", ".join(commands)
            raise click.UsageError(f'there is no command "{name}" ({known}).{did_you_mean(name, commands)}', ctx)
        return super().resolve_command(ctx, args)


class OneOf(click.ParamType):
    """One of some words, or, with `folder`, an existing folder."""

    name = "choice"

    def __init__(self, words: Sequence[str], folder: bool = False) -> None:
        self.words = tuple(words)
        self.folder = folder

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "|".join(self.words) + ("|DIR" if self.folder else "")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.words and not (self.folder and Path(value).is_dir()):
            choices = ", ".join(self.words) + (" or a folder" if self.folder else "")
            self.fail(f'"{value}" is not one of {choices}.{did_you_mean(value, self.words)}', param, ctx)
        return value


class Device(OneOf):
    """auto, cpu, cuda, or one of several GPUs."""

    name = "device"

    def __init__(self) -> None:
        super().__init__(("auto", "cpu", "cuda", "cuda:N"))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if re.fullmatch(r"cuda:\d+", value) else super().convert(value, param, ctx)


class Devices(Device):
    """Several devices, separated by commas."""

    name = "devices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(super(Devices, self).convert(part.strip(), param, ctx) for part in value.split(","))


class Words(OneOf):
    """Some of the words, separated by commas."""

    name = "list"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return ",".join(self.words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not parts:
            self.fail("name at least one of " + ", ".join(self.words), param, ctx)
        return tuple(dict.fromkeys(super(Words, self).convert(part, param, ctx) for part in parts))
