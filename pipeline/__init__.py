"""The Ray side: plan, schedule, commit, resume, write shards, show progress, report; and the `unscene` command."""
