"""Text tables as people have them: from spreadsheets, R, pandas, other archives and other machines.

`text` turns bytes into lines (encoding, gzip), `dialect` finds the header, the separator and the decimal sign, `rows`
gives the cells, `columns` knows what columns are called; `numbers`, `coordinates` and `stamps` turn cells into values.
Every reader of observations, station tables and points uses them, so that the same file is read alike wherever it is
given. What is bad loses only itself, and is told with its line.
"""
