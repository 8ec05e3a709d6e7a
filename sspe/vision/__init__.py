"""The image side: backbone networks, and region features from a photo and its boxes."""
