"""`python -m lfads_worker` is the same as `autolfads`."""

from lfads_worker.cli import main

if __name__ == "__main__":
    main()
