"""`python -m scmkit`: the commands of the shell."""

from scmkit.cli.commands import main

if __name__ == "__main__":
    main()
