"""`python -m tests.bench.scale`: sites against wall time, for 1, 2, 4 and 8 workers.

Quiet sites, collected before; a tick puts one message each on a real queue, and real workers take
them. Jira takes 250 ms an answer, ingestion is not asked. Each worker has one site at a time, so
that what is measured is waiting and not this machine's cores; the last row has as many at once as
host.json says.
"""

from __future__ import annotations

import json
import os
import time
import uuid

import trustme
from azure.storage.blob import ContainerClient

from jira_audit.simulator.site import FakeJira
from tests.end_to_end.conftest import ROOT, now
from tests.fakes.world import record
from tests.servers import azurite
from tests.servers.host import Host
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, STREAM, Ingestion
from tests.servers.many_sites import ServedSite, address_of, cloud_id_of, serve_sites

QUEUE = "jira-audit-sites"
JIRA_SECONDS = 0.25


def seconds_until_empty(
    environment: dict[str, str], connection: str, workers: int, batch_size: int | None
) -> float:
    """Seconds from the tick until the queue is empty."""
    with Host(
        ROOT, environment, connection, instances=workers, batch_size=batch_size, hidden=120
    ) as host:
        began = time.monotonic()
        assert host.tick().ok
        host.wait_until_empty(QUEUE, 900)
        took = time.monotonic() - began
        assert all(each.ended.ok for each in host.called)
    return took


def main() -> None:
    sites = {}
    for number in range(300):
        site = FakeJira("auditor", "a-token", cloud_id=cloud_id_of(number))
        site.add([record(10_000, now() - 600_000)])
        sites[address_of(number)] = ServedSite(site)
    authority = trustme.CA()
    with (
        azurite.run_with_queues() as connection,
        Identity().serve() as identity,
        Ingestion().serve(authority) as ingestion,
        authority.cert_pem.tempfile() as certificate,
        serve_sites(sites) as port,
    ):
        print("| sites | workers | at once in each | seconds | sites a second |")
        print("| --- | --- | --- | --- | --- |", flush=True)
        for count in (100, 300):
            chosen = list(sites)[:count]
            container = f"scale-{uuid.uuid4().hex}"
            entries = [
                {
                    "url": f"http://{address}:{port}",
                    "username": "auditor",
                    "api_token_setting": "TOKEN",
                }
                for address in chosen
            ]
            environment = {
                "PATH": os.environ["PATH"],
                **identity.environment,
                "REQUESTS_CA_BUNDLE": str(certificate),
                "NO_PROXY": "*",
                "JIRA_SITES": json.dumps(entries),
                "TOKEN": "a-token",
                "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
                "LOGS_DCR_RULE_ID": RULE,
                "LOGS_DCR_STREAM_NAME": STREAM,
                "AzureWebJobsStorage": connection,
                "CHECKPOINT_CONTAINER": container,
                "PYTHON_THREADPOOL_THREAD_COUNT": "8",
                # Each tick is to meet the same record, however long all of this takes.
                "OVERLAP_MINUTES": "120",
            }
            with ContainerClient.from_connection_string(connection, container):
                for served in sites.values():
                    served.seconds = 0.0
                seconds_until_empty(environment, connection, 2, None)
                for served in sites.values():
                    served.seconds = JIRA_SECONDS
                for workers, at_once in ((1, 1), (2, 1), (4, 1), (8, 1), (1, None)):
                    took = seconds_until_empty(environment, connection, workers, at_once)
                    shown = at_once or 8
                    rate = count / took
                    print(
                        f"| {count} | {workers} | {shown} | {took:.1f} | {rate:.1f} |", flush=True
                    )


if __name__ == "__main__":
    main()
