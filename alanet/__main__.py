"""`python -m alanet`: the command line, for when its program is not on the path."""

from alanet.cli import main

if __name__ == "__main__":
    main()
