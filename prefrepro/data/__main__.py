"""python -m prefrepro.data ID: write one dataset."""

from prefrepro.stage import main

if __name__ == "__main__":
    main("data")
