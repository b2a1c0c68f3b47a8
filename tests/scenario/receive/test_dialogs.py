"""Every dialog file over TCP and over TLS into the real receiver; in memory they run beside the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dialog import Dialog, all_dialogs
from tests.scenario.receive.scenes import check_messages, play, stage, unfit
from tests.unit.net.authority import Authority

DIALOGS = all_dialogs()


@pytest.mark.parametrize("over_tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("dialog", DIALOGS, ids=[dialog.name for dialog in DIALOGS])
async def test_a_dialog_over_the_network(dialog: Dialog, over_tls: bool, tmp_path: Path) -> None:
    reason = unfit(dialog, over_tls=over_tls)
    if reason is not None:
        pytest.skip(reason)
    authority = Authority(tmp_path)
    name = dialog.scene.account[0] if dialog.scene.account is not None else "client.example"
    client = authority.issue(name if "." in name else "client.example", as_file="client")
    async with stage(tmp_path, dialog, authority, over_tls=over_tls) as office:
        tls = authority.client_context(client)
        await play(office, dialog, tls, over_tls=over_tls)
        check_messages(office, dialog)
