"""A finished run's model as others use it: a model card, and the way to the hub."""
