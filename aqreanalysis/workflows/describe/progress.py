"""How a long look at files is followed: a callable that is told how many parts are done, of how many."""

from collections.abc import Callable

ReadingProgress = Callable[[int, int], None]


def unobserved(done: int, of: int) -> None:
    """Nobody follows."""
