"""`python -m embedops.cli`, the same as `embedops`."""

from embedops.cli import main

main()
