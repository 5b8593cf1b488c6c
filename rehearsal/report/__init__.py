"""What a rehearsal shows, made of :class:`rehearsal.outcome.Outcome` and nothing else.

===========================================================  ================================
``timeline.Timeline(console)``                               live, in a terminal or as plain text
``page.write_page(outcomes, file)``                          one self-contained HTML page
``terminal_picture.write_terminal_picture(outcomes, file)``  the terminal as SVG, for the README
===========================================================  ================================

Nothing is imported here: a rehearsal that writes no page need not wait for a template engine.
"""
