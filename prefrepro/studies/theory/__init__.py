"""Swepo §5 and Appendices A–C, checked numerically: gradients, stationary points, trajectories, the 1/√k bound."""
