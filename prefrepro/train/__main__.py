"""python -m prefrepro.train ID: one training, or what trainings share (reference log-probs, embeddings)."""

from prefrepro.jobs.main import main

if __name__ == "__main__":
    main("base", "sft", "run", "reward_model", "reference", "embeddings", "reference_rewards", warm=True)
