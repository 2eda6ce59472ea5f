"""Training: runs, steps, rollouts, rewards, losses, over all ranks.

`loops` has the names that programs use, `scopes`, `parts`, `stepping` and `rollouts` what they return; `batches` is what
plug-ins hand over, `sampled` and `together` its face for programs; `runs` and `place` say which run and which rank this
process is.
"""
