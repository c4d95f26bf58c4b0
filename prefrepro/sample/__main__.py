"""python -m prefrepro.sample ID: answer the evaluation prompts with one run, or take answers made elsewhere."""

from prefrepro.jobs.main import main

if __name__ == "__main__":
    main("sample", "import", warm=True)
