"""Servers of the benchmarks, each in a process of its own: a cloud and a distance."""
