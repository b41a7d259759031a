"""`python -m hivemind` is `hivemind`."""

from hivemind.cli import main

if __name__ == "__main__":
    main()
