"""The report: what a finished run found, as a page that people look at.

Made from the files of a finished result folder and nothing else, so that it can be drawn again at any time.
"""
