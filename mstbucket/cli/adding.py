"""How commands and their arguments are added to the parser; only argparse is imported here ([CLI-27])."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn, cast

from mstbucket.cli.examples import EXAMPLES
from mstbucket.cli.exits import USAGE
from mstbucket.cli.output import PROGRAM, complain


class Parser(argparse.ArgumentParser):
    """An argument parser. Its complaints are one line, in the form of all others; its help gets out or fails."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse's own lets a full disk pass in silence
            (sys.stderr if file is None else file).write(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; but a complaint about too many arguments names the command's own help ([CLI-159])."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            complain(f"unrecognized arguments: {' '.join(rest)}; see {getattr(found, 'called', self.prog)} --help")
            sys.exit(USAGE)
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            near = get_close_matches(str(value), list(action.choices), n=1)
            meant = f", did you mean {near[0]!r}?" if near else ""
            self.error(f"there is no command {value!r}{meant}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """Print the complaint and end with the exit code for usage."""
        complain(f"{message}; see {self.prog} --help")
        sys.exit(USAGE)


def whole_number(text: str) -> int:
    """The number that an option takes. Other text is refused in our words, not in Python's."""
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"a whole number is wanted, not {text[:40]!r}")
    return int(text)


def number_or_none(text: str) -> int | str:
    return text if text == "none" else whole_number(text)


def number_or_default(text: str) -> int | str:
    return text if text == "default" else whole_number(text)


class _Help(argparse.HelpFormatter):
    """Fills every paragraph for itself; an example stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            part if part.startswith("example:") else super(_Help, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )


class Adder:
    def __init__(self, commands: Any, wanted: frozenset[str] | None, above: str = "") -> None:
        self._commands = commands
        self._wanted = wanted
        self._above = above

    def group(self, name: str, text: str) -> Adder:
        """A command whose first argument is a command."""
        commands = self(name, None, text).add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
        return Adder(commands, self._wanted, f"{self._above}{name} ")

    def __call__(self, name: str, run: str | None, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        example = f"example: {PROGRAM} {EXAMPLES[self._above + name]}"
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=example if epilog is None else f"{epilog}\n\n{example}",
            formatter_class=_Help,
            allow_abbrev=False,
        )
        if self._wanted is not None and name not in self._wanted:
            return cast("argparse.ArgumentParser", _Unwanted())  # its name and help are there, for the list of commands
        # The options of all commands may stand before or behind the command's name.
        common(parser, argparse.SUPPRESS)
        parser.set_defaults(run=run, called=parser.prog)
        return parser


class _Unwanted:
    """Drops the arguments of a command that is not called: to make those of all takes longer than to read a command line."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_named: self


def common(parser: argparse.ArgumentParser, unset: Any) -> None:
    group = parser.add_argument_group("for all commands")
    off = False if unset is None else unset
    group.add_argument("--store", metavar="DIR", default=unset, help="directory of the store")
    group.add_argument("--json", action="store_true", default=off, help="results as one JSON object per line")
    group.add_argument("-q", "--quiet", action="store_true", default=off, help="only results and errors: no progress")
    group.add_argument("-v", "--verbose", action="store_true", default=off, help="a line for every object, too")
    group.add_argument("--debug", action="store_true", default=off, help="show where in the program an error arose")
