"""Scale: what 10 to 10 million partitions and 1 GB to 1 PB need, on paper and by simulation.

``model`` says what is expected, ``measuring`` asks for it, ``points`` measures, ``publish`` writes
the tables of ``docs/explanation/scale.md`` and ``plot`` its picture.
"""
