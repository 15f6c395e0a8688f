"""`python -m aqreanalysis`: the command line, where the script of that name is not on the path."""

from aqreanalysis.cli.app import main

if __name__ == "__main__":
    main()
