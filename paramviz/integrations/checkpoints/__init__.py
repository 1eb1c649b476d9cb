"""A series of checkpoints as a run: what was saved while training, seen as if it had been recorded.

`series` finds the checkpoints and their iterations, `weights` opens one of them safely, `skeleton`
makes a module of its tensors, and `importing` gives that to a recorder.
"""
