"""Everything that talks to files or to Label Studio."""
