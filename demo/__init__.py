"""The demo: a Dagster pipeline over a real data set, stored through our I/O managers.

Read :mod:`demo.assets` first: it is what a user writes, and nothing in it knows the store.
"""
