"""Thinning out, for one exporter at a time, once it is known how things ended.

`targets` says how much is wanted, `strata` decides about one unit and learns from all, `units` holds spans back
until their unit is complete, `copies` makes what is exported of them, `processor` is the stage between the SDK and
an exporter's queue.
"""
