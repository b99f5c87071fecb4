"""A page on this machine to play with a model, on Gradio (the extra ``app``).

``launch.py`` checks what is needed and opens the page; ``controls.py`` says what a model can be asked for;
``drawing.py`` turns samples into HTML and an archive; ``page.py`` has the layout; ``server.py`` serves it and
lets nothing out; ``space.py`` writes what a hosted page needs.
"""
