"""How the progress of reading many files is followed: a callable of parts done and parts in all."""

from collections.abc import Callable

ReadingProgress = Callable[[int, int], None]


def unobserved(done: int, of: int) -> None:
    """Nobody follows."""
