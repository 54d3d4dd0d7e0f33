"""The Ray side: units to workers, shards to packers, and who is to blame."""
