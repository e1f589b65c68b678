"""From what the user typed to a picture table: one file per kind of source."""
