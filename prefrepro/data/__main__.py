"""python -m prefrepro.data ID: write one dataset."""

from prefrepro.jobs.main import main

if __name__ == "__main__":
    main("data")
