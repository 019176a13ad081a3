"""What a run was asked to do: records that pydantic checks, read from and written to TOML.

`option` says how a setting is declared, `records` holds them, `request` adds what data and which
folders, `files` reads and writes them.
"""

from bids_acc.settings.files import fingerprint, json_schema, read_toml, to_toml, update
from bids_acc.settings.records import (
    AnatSettings,
    DwiSettings,
    FuncSettings,
    GroupSettings,
    MrsSettings,
    MtrSettings,
    Resources,
    Settings,
)
from bids_acc.settings.request import Request

__all__ = [
    'AnatSettings',
    'DwiSettings',
    'FuncSettings',
    'GroupSettings',
    'MrsSettings',
    'MtrSettings',
    'Request',
    'Resources',
    'Settings',
    'fingerprint',
    'json_schema',
    'read_toml',
    'to_toml',
    'update',
]
