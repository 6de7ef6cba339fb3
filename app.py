"""The Gradio page: `python app.py`, the same as `embedops app`."""

import sys

from embedops.cli import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]])
