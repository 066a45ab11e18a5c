"""Layout ``template``: the user's own paths, proved to keep addresses apart.

``fields`` reads the syntax, ``matching`` writes and reads keys, ``times`` takes the keys of time
partitions apart, ``shards`` spreads them, ``collisions`` holds the proof, ``layout`` joins them.
"""

from dagster_buckets.layouts.template.layout import TemplateLayout

__all__ = ["TemplateLayout"]
