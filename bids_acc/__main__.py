"""``python -m bids_acc``."""

from bids_acc.cli.run import main

if __name__ == '__main__':
    raise SystemExit(main())
