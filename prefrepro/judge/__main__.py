"""python -m prefrepro.judge ID: judge one sample set."""

from prefrepro.jobs.main import main

if __name__ == "__main__":
    main("verdict", warm=True)
