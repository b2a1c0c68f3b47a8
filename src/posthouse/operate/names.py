"""Names of the two files and of the control socket, where they are not set."""

from __future__ import annotations

NODE_FILE = "posthouse.toml"
FLOW_FILE = "flow.toml"
DEFAULT_SOCKET = "control.sock"
