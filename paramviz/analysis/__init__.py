"""What can be worked out from a recorded run: projections, and later phases, health and convergence."""
