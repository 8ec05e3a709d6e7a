"""The three panels of the tab "Localize", and what they show: Boxes, What it sees, Take it away."""
