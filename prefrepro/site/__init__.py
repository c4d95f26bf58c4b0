"""Pages of the documentation that are made from the code and the table specs each time the site is built (mkdocs.yml).

Knows nothing of the program that makes the site: a page is its path and its Markdown.
"""
