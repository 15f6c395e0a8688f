"""One file a verb of the command line: each reads from top to bottom."""
