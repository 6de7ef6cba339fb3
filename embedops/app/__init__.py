"""The page on which people play with the methods: `embedops app`.

Needs the extra `app`: `pip install "embedops[app]"`.
"""
