"""python -m prefrepro.sample ID: answer the evaluation prompts with one run."""

from prefrepro.stage import main

if __name__ == "__main__":
    main("sample", warm=True)
