"""Inside a search: the scan of all regions, the order of photos, and how likely a photo is right."""
