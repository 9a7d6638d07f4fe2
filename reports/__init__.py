"""A run's folder, told to people and machines, from its recorded data alone.

`html.render` writes the page, `junit.render` the test results, `text.summary` gives the terminal's
lines. `read` loads the folder; `tables`, `timeline`, `attempts` and `story` say what is told.
"""
