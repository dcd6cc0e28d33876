"""Taking pictures home: which ones, under which names, with a manifest; as files or as an archive."""
