"""The upstream API as the rest of the worker sees it: two requests, and one typed answer for each."""
