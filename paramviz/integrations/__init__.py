"""Recording where others run the training loop (docs/INTEGRATIONS.md): scripts, trainers, checkpoints.

Nothing here is imported before it is used, and each module names the library that it needs.
"""
