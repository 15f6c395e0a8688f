"""Errors that are the user's to fix: what was given, the rule, the fix, the next command.

A :class:`UserError` is shown as one paragraph without a traceback and ends the program with exit
code 2. Every other exception is a fault of ours: a traceback and exit code 1.
"""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input, told in the words of the person who gave it.

    Parameters
    ----------
    problem : what was found, with the value itself.
    rule : what would have been right.
    fix : what to do about it, as a command where there is one.
    """

    def __init__(self, problem: str, rule: str = "", fix: str = ""):
        self.problem, self.rule, self.fix = problem, rule, fix
        super().__init__(" ".join(part for part in (problem, rule, fix) if part))

    def __reduce__(self):  # so that it crosses process boundaries whole
        return (type(self), (self.problem, self.rule, self.fix))


class BadFile(UserError):
    """One file of several that can't be read; readers collect these, skip the file and count it."""


def first_few(names: Sequence[str], shown: int = 3) -> str:
    """The first of some names, and how many more there are: `a, b, c and 4 more`."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
