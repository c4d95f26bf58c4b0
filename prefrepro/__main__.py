"""python -m prefrepro: the same as the `prefrepro` command."""

from prefrepro.cli.main import main

if __name__ == "__main__":
    main()
