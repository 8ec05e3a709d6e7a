"""The page's own components: a Python file each, with the script and the style sheet that draw it beside it."""
