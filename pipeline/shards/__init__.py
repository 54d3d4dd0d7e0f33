"""The data of an OUTPUT: parts into shards, and shards read again."""
