"""How the command line is read: the words of a command, its own flags, and those of an experiment, by tyro."""

import contextlib
import dataclasses
import io
import re
import sys
import textwrap
import typing
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

from ..errors import UserError

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def words(args: Sequence[str], flags: type) -> list[int]:
    """The places of arguments that are neither a flag nor the value of one, up to the first flag that is not a field of
    `flags`.

    What follows such a flag, or one that takes several values, may be its values.
    """
    single = {f"--{f.name.replace('_', '-')}": f.type for f in dataclasses.fields(flags)}
    takes_value = {name: kind is not bool for name, kind in single.items()
                   if kind in (bool, str, int, float) or typing.get_origin(kind) is Literal}  # fmt: skip
    found, rest = [], iter(enumerate(args))
    for place, arg in rest:
        if not arg.startswith("-"):
            found.append(place)
        elif takes_value.get(arg):
            next(rest, None)
        elif arg.partition("=")[0] not in (*takes_value, "-h", "--help"):
            break
    return found


def parse(flags: type, args: list[str], prog: str, shown: Sequence[str] = ()) -> Any:
    """The flags of a command. `shown` names the positional arguments that its help shows."""
    import tyro

    if shown and any(a in ("-h", "--help") for a in args):
        print(f"usage: {prog} {' '.join(shown)} [FLAGS]\n")
    return _read(flags, prog, args, (tyro.conf.FlagCreatePairsOff,))


def parse_experiment(flags: type, experiment, args: list[str], place: int, prog: str) -> tuple[Any, Any]:
    """The flags of a command and the experiment, which stands at `place`, changed by the flags that its own dataclasses
    define."""
    import tyro

    from .config import Experiment

    parts = [(f.name, type(getattr(experiment, f.name)), field(default=getattr(experiment, f.name)))
             for f in dataclasses.fields(experiment)]  # fmt: skip
    own = ("own", Annotated[flags, tyro.conf.arg(name="")], field(default=flags()))
    both = dataclasses.make_dataclass("Command", [own, *parts], frozen=True)
    both.__doc__ = flags.__doc__
    rest = [*args[:place], *args[place + 1 :]]
    parsed = _read(both, f"{prog} {args[place]}", rest, (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands))
    return parsed.own, Experiment(**{name: getattr(parsed, name) for name, *_ in parts})


def words_and_flags(flags: type, args: list[str], prog: str, shown: Sequence[str]) -> tuple[list[str], Any]:
    """A command's positional arguments, which may stand among its flags, and the flags."""
    places = words(args, flags)
    rest = [arg for place, arg in enumerate(args) if place not in places]
    return [args[place] for place in places], parse(flags, rest, prog, shown)


def _read(flags: type, prog: str, args: list[str], config: Sequence[Any]) -> Any:
    """What tyro makes of the arguments. Raises UserError, with its message, for those that it cannot read."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found: Any = tyro.cli(flags, prog=prog, args=args, config=config)
    except SystemExit as stop:
        if stop.code != 2:
            raise
        raise UserError(_without_box(said.getvalue())) from None
    print(said.getvalue(), end="", file=sys.stderr)  # warnings
    return found


def _without_box(text: str) -> str:
    """The lines of a message that tyro puts in a box, or without UTF-8 between rules; less its title and the rules."""
    lines = [COLOUR.sub("", line).strip("│").rstrip() for line in text.splitlines()]
    return textwrap.dedent("\n".join(line for line in lines[1:] if line.strip(" ╰─╯-")))
