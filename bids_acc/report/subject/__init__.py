"""A subject's page: one file for each kind of section, `page` puts them in order."""
