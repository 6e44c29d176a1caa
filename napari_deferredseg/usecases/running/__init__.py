"""From a volume to regions on worklists."""
