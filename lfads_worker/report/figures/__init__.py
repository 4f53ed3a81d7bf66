"""The figures of the report, one a module: a finished run in, a drawn figure and its caption out."""
