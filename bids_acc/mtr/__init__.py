"""Magnetization transfer ratio: two images, one with and one without saturation, to a map."""
