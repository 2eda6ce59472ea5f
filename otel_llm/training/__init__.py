"""Training: runs, steps, rollouts, rewards, losses, over all ranks.

`loops` has the names that programs use, `scopes` and `rollouts` what they return, `batches` what plug-ins hand over,
`runs` and `place` which run and which rank this process is.
"""
