"""The table that the classic connector left behind, with columns that are somebody's own."""

from jira_audit.core.records import COLUMNS

CLASSIC_COLUMNS = {
    name: kind
    for name, kind in COLUMNS.items()
    if name not in {"site_s", "description_s", "extra_s", "truncated_b"}
}
FOREIGN = {"RawData": "string", "mine_s": "string"}
