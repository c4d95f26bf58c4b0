"""python -m prefrepro.tables ID: cells and files of one table."""

from prefrepro.jobs.main import main

if __name__ == "__main__":
    main("table", warm=True)
