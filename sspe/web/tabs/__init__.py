"""The page's tabs, one file each; :mod:`sspe.web.page` puts them together."""
