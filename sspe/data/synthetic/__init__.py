"""Drawn scenes in the layout of Flickr30K Entities: a data set that needs no download."""
