"""``python -m bids_acc``."""

from bids_acc.cli.run import command

if __name__ == '__main__':
    raise SystemExit(command())
