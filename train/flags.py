"""How the command line is read: the words of a command, its own flags, and those of an experiment, by tyro."""

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal


def words(args: Sequence[str], flags: type) -> list[str]:
    """The arguments that are neither a flag nor the value of one, up to the first flag that is not a field of `flags`.

    What follows such a flag, which only a config explains, may be its values.
    """
    takes_value = {f"--{f.name.replace('_', '-')}": f.type in (str, int, float) or typing.get_origin(f.type) is Literal
                   for f in dataclasses.fields(flags) if f.default_factory is dataclasses.MISSING}  # fmt: skip
    found, rest = [], iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            found.append(arg)
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
    return tyro.cli(flags, prog=prog, args=args, config=(tyro.conf.FlagCreatePairsOff,))


def parse_experiment(flags: type, experiment, args: list[str], name: str, prog: str) -> tuple[Any, Any]:
    """The flags of a command and the experiment, changed by the flags that its own dataclasses define."""
    import tyro

    from .config import Experiment

    parts = [(f.name, type(getattr(experiment, f.name)), field(default=getattr(experiment, f.name)))
             for f in dataclasses.fields(experiment)]  # fmt: skip
    own = ("own", Annotated[flags, tyro.conf.arg(name="")], field(default=flags()))
    both = dataclasses.make_dataclass("Command", [own, *parts], frozen=True)
    both.__doc__ = flags.__doc__
    rest = list(args)
    rest.remove(name)
    parsed: Any = tyro.cli(
        both, prog=f"{prog} {name}", args=rest, config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
    )
    return parsed.own, Experiment(**{name: getattr(parsed, name) for name, *_ in parts})


def words_and_flags(flags: type, args: list[str], prog: str, shown: Sequence[str]) -> tuple[list[str], Any]:
    """A command's positional arguments, which may stand anywhere among its flags, and the flags."""
    found, rest = words(args, flags), list(args)
    for word in found:
        rest.remove(word)
    return found, parse(flags, rest, prog, shown)
