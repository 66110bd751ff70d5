"""That every store keeps the same promises: one holder at a time, what was saved is what is loaded,
a letter is kept once. And what blobs and a local folder promise beyond that.

Azurite has no roles, network rules or policies: what the service answers for them is scripted.
"""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import responses
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobLeaseClient, ContainerClient

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, Sweep
from jira_audit.core.cloud_id import StoredTenant
from jira_audit.core.errors import ConnectorError, SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.letters import Letter
from jira_audit.core.records import TABLE_FILE
from jira_audit.edge import blobs as blobs_
from jira_audit.edge.blobs import (
    BlobCheckpoints,
    BlobEnqueueTimes,
    BlobLease,
    BlobLetters,
    Retries,
    client_options,
    probe,
)
from jira_audit.edge.local import LocalCheckpoints, LocalLetters, LocalSink
from jira_audit.edge.transport import azure_transport
from jira_audit.flow.ports import Checkpoints, Letters
from tests.fakes.world import Journal, MemoryStore, Time

SITE = "contoso.atlassian.net"
PATH = f"checkpoints/{SITE}.json"
NOW = timestamps.parse("2026-11-20T12:00:00Z")
FIRST = Checkpoint.first(SITE, NOW - timestamps.DAY, NOW)
RECORD = {"id": 10_000, "created": "2026-11-19T10:00:00.000+0000", "summary": "Größe \ud83d"}
LETTER = Letter("refused", "refused alone", SITE, RECORD, 400)


@dataclass(frozen=True)
class Store:
    """One of the stores, and a way past it to what is stored."""

    checkpoints: Checkpoints
    letters: Letters
    put: Callable[[str, bytes], Any]
    get: Callable[[str], bytes]


@pytest.fixture
def time() -> Time:
    return Time(NOW)


def memory(request: pytest.FixtureRequest, time: Time) -> Store:
    store = MemoryStore(Journal(), time)
    return Store(store, store, store.blobs.__setitem__, store.blobs.__getitem__)


def folder(request: pytest.FixtureRequest, time: Time) -> Store:
    path: Path = request.getfixturevalue("tmp_path")
    return Store(
        LocalCheckpoints(path, time.clock),
        LocalLetters(path, time.clock),
        lambda name, content: (path / name).write_bytes(content),
        lambda name: (path / name).read_bytes(),
    )


def blobs(request: pytest.FixtureRequest, time: Time) -> Store:
    container: ContainerClient = request.getfixturevalue("blob_container")

    def put(name: str, content: bytes) -> None:
        blob = container.get_blob_client(name)
        BlobLeaseClient(blob).break_lease(0)
        blob.upload_blob(content, overwrite=True)

    return Store(
        BlobCheckpoints(container, 60, time.clock),
        BlobLetters(container, time.clock),
        put,
        lambda name: container.download_blob(name).readall(),
    )


@pytest.fixture(params=[memory, folder, pytest.param(blobs, marks=pytest.mark.servers)])
def store(request: pytest.FixtureRequest, time: Time) -> Store:
    make: Callable[[pytest.FixtureRequest, Time], Store] = request.param
    return make(request, time)


# Taking a site


def test_take_of_a_new_site_writes_the_first_checkpoint(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    assert lease.created
    assert lease.load() == FIRST
    assert json.loads(store.get(PATH))["saved"] == "2026-11-20T12:00:00.000Z"


def test_every_store_tells_each_sites_tenant(store: Store) -> None:
    assert store.checkpoints.tenants() == []
    lease = store.checkpoints.take(FIRST)
    other = store.checkpoints.take(replace(FIRST, site="fabrikam.atlassian.net", cloud_id="b"))
    assert lease is not None
    assert other is not None

    lease.save(FIRST.claiming("a"))

    assert store.checkpoints.tenants() == [
        StoredTenant(SITE, None, "a"),
        StoredTenant("fabrikam.atlassian.net", "b", None),
    ]
    lease.save(FIRST.identified("a"))
    assert store.checkpoints.tenants()[0] == StoredTenant(SITE, "a", None)


@pytest.mark.parametrize(
    ("content", "cloud_id"), [(b'{"v": 2, "cloud_id": "a"}', "a"), (b"{", None), (b"[]", None)]
)
def test_a_checkpoint_of_another_version_tells_its_tenant(
    store: Store, content: bytes, cloud_id: str | None
) -> None:
    assert store.checkpoints.take(FIRST) is not None
    store.put(PATH, content)
    assert store.checkpoints.tenants() == [StoredTenant(SITE, cloud_id, None)]


def test_a_checkpoint_is_deleted_under_its_lease_alone(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    lease.delete()
    assert store.checkpoints.stored(SITE) is None
    again = store.checkpoints.take(FIRST)
    assert again is not None
    assert again.created


def test_a_letters_bytes_are_put_once(store: Store) -> None:
    assert store.letters.put(LETTER.name, b"as they are")
    assert not store.letters.put(LETTER.name, b"others")
    assert store.letters.read(LETTER.name) == b"as they are"
    with pytest.raises(SiteError, match="not the name of a"):
        store.letters.put("checkpoints/x.json", b"")


def test_take_of_a_site_under_lease_is_refused(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    assert store.checkpoints.take(replace(FIRST, through=NOW)) is None
    assert lease.load() == FIRST


def test_take_of_a_site_does_not_block_another(store: Store) -> None:
    other = Checkpoint.first("other.atlassian.net", NOW, NOW)
    leases = [store.checkpoints.take(FIRST), store.checkpoints.take(other)]
    assert [lease and lease.load() for lease in leases] == [FIRST, other]


def test_take_after_a_release_finds_the_saved_checkpoint(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    lease.release()

    again = store.checkpoints.take(replace(FIRST, through=NOW))
    assert again is not None
    assert not again.created
    assert again.load() == FIRST


def put_while_free(store: Store, content: bytes) -> None:
    """Write past a store while nobody holds the site: blobs then have no lease to break."""
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    store.put(PATH, content)
    try:
        lease.release()
    except TransientError:
        return  # blobs: `put` has broken it


def test_take_does_not_overwrite_a_garbled_checkpoint(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    lease.release()
    put_while_free(store, b"garbled")

    again = store.checkpoints.take(FIRST)
    assert again is not None
    assert not again.created
    with pytest.raises(SiteError):
        again.load()


# Checkpoints


def test_checkpoint_that_was_deleted_is_no_first_run(tmp_path: Path, time: Time) -> None:
    lease = LocalCheckpoints(tmp_path, time.clock).take(FIRST)
    assert lease is not None
    (tmp_path / PATH).unlink()
    with pytest.raises(TransientError, match="could not be loaded"):
        lease.load()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"v": 1}',
        b"\xff\xfe",
        FIRST.encode(NOW)[:-1],
        FIRST.encode(NOW).replace(b'"ledger":[]', b'"ledger":[[1]]'),
        FIRST.encode(NOW).replace(b'"step":', b'"steps":'),
        Checkpoint.first("other.atlassian.net", NOW, NOW).encode(NOW),
    ],
)
def test_checkpoint_that_is_unreadable_is_no_first_run(store: Store, content: bytes) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    store.put(PATH, content)
    with pytest.raises(SiteError, match=r"cannot be read.*CHECKPOINT_RESET"):
        lease.load()
    assert store.get(PATH) == content


FULL = Checkpoint(
    SITE,
    start=NOW - timestamps.DAY,
    through=NOW - timestamps.HOUR,
    latest=NOW - timestamps.MINUTE,
    ledger=Ledger.of([(10_000, 10_287), (10_290, 10_290), (2**62, 2**62)]),
    step=1,
    marks=((NOW - timestamps.DAY, 10_000),),
    pruned=NOW - timestamps.DAY,
    swept=NOW,
    sweep=Sweep(NOW - timestamps.DAY, NOW, NOW - 1),
    reset="all#1",
    unknown={"later": {"field": [1, "ü"]}},
)


def test_checkpoint_is_loaded_as_it_was_saved(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    lease.hold(30)
    lease.save(replace(FULL, step=2))
    lease.save(FULL)
    assert lease.load() == FULL
    lease.release()

    again = store.checkpoints.take(FIRST)
    assert again is not None
    assert again.load() == FULL


def test_checkpoint_of_a_newer_version_is_refused(store: Store) -> None:
    lease = store.checkpoints.take(FIRST)
    assert lease is not None
    store.put(PATH, FIRST.encode(NOW).replace(b'"v":1', b'"v":2'))
    with pytest.raises(SiteError, match="newer version"):
        lease.load()


def options_without_waits(slept: list[float]) -> dict[str, Any]:
    """The connector's own options; what the retry policy would wait is put down instead."""
    options = client_options()
    policy = options["retry_policy"]
    real = policy.get_backoff_time

    def note_wait(settings: Any) -> float:
        slept.append(real(settings))
        return 0.0

    policy.get_backoff_time = note_wait
    return options


class Network(RequestsTransport):  # type: ignore[misc]  # its package shows it lazily
    """The way to storage: counts what goes over it, lets other things happen first, lets time pass
    on the fake clock, and loses or rewrites answers.
    """

    def __init__(self, time: Time) -> None:
        self.slept: list[float] = []
        self.options = options_without_waits(self.slept)
        self.options.pop("transport")
        super().__init__(**self.options)
        self.time, self.asked = time, list[str]()
        self.before: Callable[[Any], None] = lambda request: None
        self.seconds, self.lose = 0.0, 0
        self.rewrite: Callable[[Any, bytes], bytes] | None = None

    def send(self, request: Any, **options: Any) -> Any:
        self.asked.append(f"{request.method} {request.headers.get('x-ms-lease-action', '')}")
        self.before(request)
        answer = super().send(request, **options)
        self.time.advance(self.seconds)
        if self.lose:
            self.lose -= 1
            answer.internal_response.close()
            raise ServiceResponseError("lost")
        if self.rewrite:
            answer._content = self.rewrite(request, answer.read())
        return answer

    @property
    def renewals(self) -> int:
        return self.asked.count("PUT renew")


@pytest.fixture
def network(time: Time) -> Network:
    return Network(time)


@pytest.fixture
def container(azurite: str, network: Network) -> Iterator[ContainerClient]:
    """The connector's own client for a container that is not there yet."""
    name = f"test-{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(
        azurite, name, transport=network, **network.options
    ) as client:
        yield client


@pytest.mark.servers
def test_checkpoint_deleted_at_once_is_an_error(
    container: ContainerClient, network: Network, time: Time
) -> None:
    container.create_container()
    acquired = 0

    def before(request: Any) -> None:
        nonlocal acquired
        acquired += request.headers.get("x-ms-lease-action") == "acquire"
        if acquired == 2:
            acquired = 3
            container.delete_blob(PATH)

    network.before = before
    with pytest.raises(TransientError, match="deleted"):
        BlobCheckpoints(container, 60, time.clock).take(FIRST)


def test_checkpoint_save_that_fails_keeps_the_old_one(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkpoints = LocalCheckpoints(tmp_path, time.clock)
    errors: list[ConnectorError] = []
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        try:
            checkpoints.take(FIRST)
        except ConnectorError as error:
            errors.append(error)  # kept, and its frames with it
    assert type(errors[0]) is TransientError

    lease = checkpoints.take(FIRST)
    assert lease is not None
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(TransientError):
            lease.save(FULL)
    assert lease.load() == FIRST


def take_lease(container: ContainerClient, time: Time, lease_seconds: int = 60) -> BlobLease:
    lease = BlobCheckpoints(container, lease_seconds, time.clock).take(FIRST)
    assert lease is not None
    return lease


@pytest.mark.servers
def test_checkpoint_save_is_retried_after_a_lost_answer(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time)
    network.lose = 1
    lease.save(FULL)
    assert lease.load() == FULL
    assert len(network.slept) == 1


# Letters


def test_letter_is_kept_once_as_it_was_received(store: Store, time: Time) -> None:
    lease = store.checkpoints.take(FIRST)  # as in every run, which also makes the container
    assert lease is not None

    kept = [store.letters.keep(LETTER)]
    kept.append(store.letters.keep(replace(LETTER, reason="another", status=413)))
    time.advance(0.001)
    kept.append(store.letters.keep(LETTER))

    assert kept == [True, False, False]
    found = json.loads(store.get(f"dead-letters/{SITE}/2026-11-19/10000.json"))
    assert (found["record"], found["reason"], found["status"]) == (RECORD, "refused alone", 400)
    assert found["kept"] == "2026-11-20T12:00:00.000Z"


def test_letter_stored_as_it_is_sent_is_new(store: Store) -> None:
    """A client that lost the answer and tries again finds its own letter."""
    assert store.checkpoints.take(FIRST) is not None

    assert [store.letters.keep(LETTER) for _ in range(2)] == [True, True]


def test_letter_names_differ_for_any_records(store: Store, time: Time) -> None:
    assert store.checkpoints.take(FIRST) is not None
    letters = [
        LETTER,
        Letter.original(SITE, RECORD),
        Letter("unreadable", "no id", SITE, {"created": RECORD["created"]}),
        Letter("unreadable", "no record", SITE, None),
        Letter("unreadable", "no record", SITE, "../../x"),
        Letter("unreadable", "no time", SITE, {"id": 10_000, "created": "../.."}),
    ]
    assert len({letter.name for letter in letters}) == len(letters)
    assert all(store.letters.keep(letter) for letter in letters)
    time.advance(0.001)
    assert not any(store.letters.keep(letter) for letter in letters)
    assert [json.loads(store.get(letter.name))["record"] for letter in letters] == [
        letter.record for letter in letters
    ]


@pytest.mark.servers
def test_letter_is_kept_after_a_lost_answer(
    container: ContainerClient, network: Network, time: Time
) -> None:
    take_lease(container, time)
    network.lose = 1
    assert BlobLetters(container, time.clock).keep(LETTER)  # and is new to this run
    assert json.loads(container.download_blob(LETTER.name).readall())["record"] == RECORD


@pytest.mark.servers
def test_letter_that_cannot_be_kept_is_an_error(container: ContainerClient, time: Time) -> None:
    with pytest.raises(TransientError, match=r"could not be kept aside.*ContainerNotFound"):
        BlobLetters(container, time.clock).keep(LETTER)


# The container and the first run


def stored_checkpoint(container: ContainerClient) -> Any:
    return json.loads(container.download_blob(PATH).readall())


@pytest.mark.servers
def test_container_that_is_missing_is_created(container: ContainerClient, time: Time) -> None:
    assert not container.exists()
    assert take_lease(container, time).created
    assert stored_checkpoint(container)["site"] == SITE


@pytest.mark.servers
def test_container_is_created_by_a_probe_if_missing(
    container: ContainerClient,
) -> None:
    probe(container)
    probe(container)
    assert container.exists()


@pytest.mark.servers
def test_first_runs_at_once_leave_one_holder(azurite: str, time: Time) -> None:
    for _ in range(5):
        name, begin = f"test-{uuid.uuid4().hex}", threading.Barrier(2)

        def take(client: ContainerClient, begin: threading.Barrier = begin) -> BlobLease | None:
            begin.wait(30)
            return BlobCheckpoints(client, 60, time.clock).take(FIRST)

        with (
            ContainerClient.from_connection_string(azurite, name, **client_options()) as one,
            ContainerClient.from_connection_string(azurite, name, **client_options()) as two,
            ThreadPoolExecutor(2) as executor,
        ):
            leases = [lease for lease in executor.map(take, (one, two)) if lease is not None]
            assert [lease.load() for lease in leases] == [FIRST]


def act_before_upload(network: Network, act: Callable[[], Any]) -> None:
    """Before the first checkpoint's upload, once, another run acts."""

    def before(request: Any) -> None:
        if request.method == "PUT" and request.headers.get("x-ms-blob-type"):
            network.before = lambda request: None
            act()

    network.before = before


@pytest.mark.servers
def test_first_run_overwrites_no_checkpoint_of_a_quicker_one(
    container: ContainerClient, azurite: str, network: Network, time: Time
) -> None:
    container.create_container()
    other = replace(FIRST, start=1, through=2)
    act_before_upload(network, lambda: container.upload_blob(PATH, other.encode(NOW)))

    lease = take_lease(container, time)
    assert not lease.created
    assert lease.load() == other


@pytest.mark.servers
def test_first_run_leaves_the_site_to_a_quicker_one(
    container: ContainerClient, network: Network, time: Time
) -> None:
    container.create_container()

    def act() -> None:
        container.upload_blob(PATH, FIRST.encode(NOW))
        container.get_blob_client(PATH).acquire_lease(60)

    act_before_upload(network, act)
    assert BlobCheckpoints(container, 60, time.clock).take(replace(FIRST, through=NOW)) is None
    assert stored_checkpoint(container)["through"] == timestamps.text(FIRST.through)


# A container that was deleted


DELETED = """<Container><Name>%s</Name><Deleted>true</Deleted><Version>01D60F8BB59A4652</Version>
<Properties><Last-Modified>Thu, 19 Nov 2026 12:00:00 GMT</Last-Modified><Etag>"0x8D"</Etag>
<LeaseStatus>unlocked</LeaseStatus><LeaseState>expired</LeaseState>
<DeletedTime>Fri, 20 Nov 2026 11:00:00 GMT</DeletedTime>
<RemainingRetentionDays>6</RemainingRetentionDays></Properties></Container></Containers>"""
"""What the service adds to its list for a container that can still be restored. Azurite, which
answers the list itself, deletes containers for good.
https://learn.microsoft.com/rest/api/storageservices/list-containers2
"""


def with_deleted(name: str) -> Callable[[Any, bytes], bytes]:
    def rewrite(request: Any, body: bytes) -> bytes:
        if "comp=list" not in request.url or "include=deleted" not in request.url:
            return body
        listed = body.replace(b"<Containers/>", b"<Containers></Containers>")
        assert listed.count(b"</Containers>") == 1
        return listed.replace(b"</Containers>", (DELETED % name).encode())

    return rewrite


@pytest.mark.servers
def test_container_that_can_be_restored_is_not_made_again(
    container: ContainerClient, network: Network, time: Time
) -> None:
    network.rewrite = with_deleted(container.container_name)
    ways: list[Callable[[], object]] = [
        lambda: BlobCheckpoints(container, 60, time.clock).take(FIRST),
        lambda: BlobEnqueueTimes(container).save({}),
        lambda: probe(container),
    ]
    for way in ways:
        with pytest.raises(SiteError, match=r"was deleted.*restore it.*create it empty"):
            way()
    assert not container.exists()


@pytest.mark.servers
def test_container_made_again_by_hand_is_used(
    container: ContainerClient, network: Network, time: Time
) -> None:
    network.rewrite = with_deleted(container.container_name)
    container.create_container()

    assert take_lease(container, time).created


@pytest.mark.servers
def test_container_is_made_though_another_was_deleted(
    container: ContainerClient, network: Network, time: Time
) -> None:
    network.rewrite = with_deleted(f"{container.container_name}-old")

    assert take_lease(container, time).created


@pytest.mark.servers
def test_container_is_made_without_the_right_to_list(
    container: ContainerClient, network: Network, time: Time
) -> None:
    """As with a role on the container alone, or a shared access signature without it."""

    def refuse(request: Any) -> None:
        if "comp=list" in request.url:
            error = HttpResponseError("no right")
            error.status_code = 403
            raise error

    network.before = refuse

    assert take_lease(container, time).created


# The lease


@pytest.mark.servers
def test_lease_is_renewed_when_too_little_is_left(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time)
    lease.hold(60)
    time.advance(30)
    lease.hold(30)
    assert network.renewals == 0

    time.advance(0.01)
    lease.hold(30)
    assert network.renewals == 1

    lease.hold(60)  # it is as good as new
    assert network.renewals == 1


@pytest.mark.servers
def test_lease_counts_from_the_request_not_the_answer(
    container: ContainerClient, network: Network, time: Time
) -> None:
    container.create_container()
    container.upload_blob(PATH, FIRST.encode(NOW))
    network.seconds = 5
    lease = take_lease(container, time)
    lease.hold(55)
    assert network.renewals == 0

    time.advance(0.01)
    lease.hold(55)
    assert network.renewals == 1
    lease.hold(55)
    assert network.renewals == 1


@pytest.mark.servers
def test_lease_about_to_end_is_renewed_by_a_save(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time)
    time.advance(50)
    lease.save(FULL)
    assert network.renewals == 0
    time.advance(0.01)
    lease.save(FIRST)
    assert network.renewals == 1
    assert lease.load() == FIRST


@pytest.mark.servers
def test_lease_of_the_shortest_time_permits_a_save(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time, 15)
    lease.hold(10)
    lease.save(FULL)
    assert network.renewals == 0
    time.advance(8)
    lease.save(FULL)
    assert network.renewals == 1


@pytest.mark.servers
def test_lease_is_renewed_once_by_several_threads(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time)
    time.advance(59)
    begin = threading.Barrier(4)

    def hold(_: int) -> None:
        begin.wait(30)
        lease.hold(30)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(hold, range(4)))
    assert network.renewals == 1


@pytest.mark.servers
def test_lease_is_lost_when_storage_is_too_slow(
    container: ContainerClient, network: Network, time: Time
) -> None:
    lease = take_lease(container, time)
    network.seconds = 31
    time.advance(40)
    with pytest.raises(TransientError, match="too slow"):
        lease.hold(30)


def take_over(container: ContainerClient) -> BlobLeaseClient:
    """Another run has the site now, as after our lease has run out."""
    blob = container.get_blob_client(PATH)
    BlobLeaseClient(blob).break_lease(0)
    return blob.acquire_lease(60)


@pytest.mark.servers
@pytest.mark.parametrize("then", ["taken over", "broken"])
def test_lease_that_is_lost_stops_all_writes(
    container: ContainerClient, time: Time, then: str
) -> None:
    lease = take_lease(container, time)
    if then == "taken over":
        take_over(container)
    else:
        BlobLeaseClient(container.get_blob_client(PATH)).break_lease(0)
    before = container.download_blob(PATH).readall()

    with pytest.raises(TransientError, match="another run took over the site"):
        lease.save(FULL)
    time.advance(59)  # the lease is to be renewed now
    with pytest.raises(TransientError, match="another run took over the site"):
        lease.hold(30)
    with pytest.raises(TransientError, match="another run took over the site"):
        lease.save(FULL)

    assert container.download_blob(PATH).readall() == before


@pytest.mark.servers
def test_lease_that_is_lost_does_not_end_the_new_one(
    container: ContainerClient, time: Time
) -> None:
    lease = take_lease(container, time)
    take_over(container)
    with pytest.raises(TransientError):
        lease.release()
    assert BlobCheckpoints(container, 60, time.clock).take(FIRST) is None


@pytest.mark.servers
@pytest.mark.parametrize("number", range(3))
def test_lease_without_storage_is_a_transient_error(
    container: ContainerClient, network: Network, time: Time, number: int
) -> None:
    lease = take_lease(container, time)
    network.lose = 99
    time.advance(59)
    ways: list[Callable[[], object]] = [lease.load, lambda: lease.save(FULL), lease.release]
    with pytest.raises(TransientError, match=rf"^{SITE}: .*reached \(ServiceResponseError\)$"):
        ways[number]()


@pytest.mark.servers
@pytest.mark.parametrize("seconds", [15, 60])
def test_lease_is_requested_for_the_seconds_that_are_set(
    container: ContainerClient, network: Network, time: Time, seconds: int
) -> None:
    # That storage ends it then is storage's matter; to wait for it would take the wall clock.
    asked: list[str] = []

    def before(request: Any) -> None:
        if found := request.headers.get("x-ms-lease-duration"):
            asked.append(found)

    network.before = before
    take_lease(container, time, seconds)
    assert set(asked) == {str(seconds)}


@pytest.mark.servers
def test_lease_of_a_dead_run_leaves_the_saved_checkpoint(
    container: ContainerClient, time: Time
) -> None:
    take_lease(container, time).save(FULL)
    assert BlobCheckpoints(container, 60, time.clock).take(FIRST) is None
    BlobLeaseClient(container.get_blob_client(PATH)).break_lease(0)  # as time would
    again = take_lease(container, time)
    assert (again.created, again.load()) == (False, FULL)


def test_lease_of_another_process_ends_with_it(tmp_path: Path, time: Time) -> None:
    script = """
import sys
from pathlib import Path
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Clock
from jira_audit.edge.local import LocalCheckpoints
clock = Clock(lambda: 0, lambda: 0.0, lambda _: None, lambda: 0.5)
lease = LocalCheckpoints(Path(sys.argv[1]), clock).take(Checkpoint.first(sys.argv[2], 7, 7))
print(lease.created, flush=True)
sys.stdin.read()
"""
    checkpoints = LocalCheckpoints(tmp_path, time.clock)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), SITE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            assert checkpoints.take(FIRST) is None
        finally:
            process.kill()  # it gives nothing back
    lease = checkpoints.take(FIRST)
    assert lease is not None
    assert (lease.created, lease.load().start) == (False, 7)


# Failures of storage


def storage_calls(container: ContainerClient, time: Time) -> list[Callable[[], object]]:
    """All that is asked of storage without a lease."""
    return [
        lambda: BlobCheckpoints(container, 60, time.clock).take(FIRST),
        lambda: BlobLetters(container, time.clock).keep(LETTER),
        lambda: probe(container),
    ]


def connection_string(port: int, key: str = "bm90IHRoZSBrZXk=") -> str:
    return (
        f"AccountName=devstoreaccount1;AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("number", range(3))
def test_storage_out_of_reach_is_tried_three_times(
    network: Network, time: Time, number: int
) -> None:
    with (
        ContainerClient.from_connection_string(
            connection_string(closed_port()), "test", transport=network, **network.options
        ) as client,
        pytest.raises(TransientError, match="storage could not be reached"),
    ):
        storage_calls(client, time)[number]()
    assert len(network.asked) == 3
    longest = blobs_.CONNECT_SECONDS + blobs_.READ_SECONDS
    assert 3 * longest + sum(network.slept) < 45


def test_storage_retries_follow_the_policy() -> None:
    policy = client_options(Retries(count=4, first=7, base=3, jitter=0))["retry_policy"]

    assert policy.total_retries == 4
    assert [policy.get_backoff_time({"count": tries}) for tries in (1, 2, 3)] == [10, 16, 34]


def test_storage_that_never_answers_is_given_up(time: Time) -> None:
    slept: list[float] = []
    options = options_without_waits(slept) | {"transport": azure_transport(read_seconds=0.05)}
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        ContainerClient.from_connection_string(
            connection_string(silent.getsockname()[1]), "test", **options
        ) as client,
        pytest.raises(TransientError, match="storage could not be reached"),
    ):
        BlobCheckpoints(client, 60, time.clock).take(FIRST)
    assert len(slept) == 2


@pytest.mark.servers
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("key", ["bm90IHRoZSBrZXk=", "no base64!"])
def test_storage_with_a_wrong_key_is_for_an_administrator(
    azurite: str, time: Time, key: str, number: int
) -> None:
    port = int(azurite.split("127.0.0.1:")[1].split("/", maxsplit=1)[0])
    with (
        ContainerClient.from_connection_string(
            connection_string(port, key), "test", **client_options()
        ) as client,
        pytest.raises(SiteError, match="storage refuses") as raised,
    ):
        storage_calls(client, time)[number]()
    assert key not in str(raised.value)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AuthorizationFailure", SiteError),  # the account's network rules
        (403, "AuthorizationPermissionMismatch", SiteError),  # the identity has no role
        (403, "InsufficientAccountPermissions", SiteError),
        (409, "ContainerBeingDeleted", TransientError),
        (409, "BlobImmutableDueToPolicy", SiteError),
        (400, "HierarchicalNamespaceNotSupported", TransientError),
    ],
)
@responses.activate
def test_storage_errors_that_azurite_lacks_are_understood(
    status: int, code: str, kind: type[ConnectorError], number: int, time: Time
) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
    anything = re.compile(r"http://127\.0\.0\.1:9/.*")
    for method in (responses.PUT, responses.GET, responses.HEAD):
        responses.add(method, anything, status=status, headers={"x-ms-error-code": code})
    with (
        ContainerClient.from_connection_string(
            connection_string(9), "test", **options_without_waits([])
        ) as client,
        pytest.raises(kind, match=code),
    ):
        storage_calls(client, time)[number]()


MALFORMED: list[tuple[bytes, dict[str, str]]] = [
    (b"", {}),
    (b"<", {}),
    (b"\xff\xfe", {"Content-Type": "application/xml"}),
    (b"[]", {"Content-Type": "application/json"}),
    (b"{}", {"Content-Range": "x"}),
    (b"{}", {"Content-Range": "bytes 0-1/2", "Last-Modified": "yesterday"}),
    (b"{}", {"Content-Type": "application/xml; charset=none"}),
    (b"<EnumerationResults/>", {"Content-Type": "application/xml"}),
]


@pytest.mark.parametrize("status", [200, 201, 206])
@pytest.mark.parametrize(("body", "headers"), MALFORMED)
@responses.activate
def test_storage_answers_that_are_malformed_are_sentences(
    body: bytes, headers: dict[str, str], status: int, time: Time
) -> None:
    anything = re.compile(r"http://127\.0\.0\.1:9/.*")
    for method in (responses.PUT, responses.GET, responses.HEAD, responses.DELETE):
        responses.add(method, anything, status=status, body=body, headers=headers)
    with ContainerClient.from_connection_string(
        connection_string(9), "test", **options_without_waits([])
    ) as client:
        checkpoints = BlobCheckpoints(client, 60, time.clock)
        letters = BlobLetters(client, time.clock)
        for call in (
            *storage_calls(client, time),
            lambda: checkpoints.stored(SITE),
            checkpoints.leases,
            lambda: letters.names("dead-letters", SITE),
            lambda: letters.read(LETTER.name),
            lambda: letters.delete(LETTER.name),
        ):
            try:
                call()
            except TransientError as error:
                assert "storage" in str(error)  # noqa: PT017  some calls succeed


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
@responses.activate
def test_storage_errors_are_one_printable_line(status: int, time: Time) -> None:
    code = "Bad\x1b[2J\x9b\xa0of SharedKey devstoreaccount1:" + "A" * 3_000
    anything = re.compile(r"http://127\.0\.0\.1:9/.*")
    responses.add(responses.PUT, anything, status=status, headers={"x-ms-error-code": code})
    with (
        ContainerClient.from_connection_string(
            connection_string(9), "test", **options_without_waits([])
        ) as client,
        pytest.raises(ConnectorError) as raised,
    ):
        BlobCheckpoints(client, 60, time.clock).take(FIRST)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 700
    assert "AAAA" not in str(raised.value)


@responses.activate
def test_probe_finds_a_store_that_creates_and_does_not_overwrite() -> None:
    """Azurite has no immutability policies:
    https://learn.microsoft.com/azure/storage/blobs/immutable-policy-configure-container-scope
    """
    blob = "http://127.0.0.1:9/devstoreaccount1/test/probes/checkpoint"
    responses.put(blob, status=201)
    responses.put(blob, status=409, headers={"x-ms-error-code": "BlobImmutableDueToPolicy"})
    options = options_without_waits([])

    with (
        ContainerClient.from_connection_string(connection_string(9), "test", **options) as client,
        pytest.raises(SiteError, match="immutability policy"),
    ):
        probe(client)


# The local table


def test_table_rows_are_appended_one_a_line(tmp_path: Path) -> None:
    sink = LocalSink(tmp_path / "new")
    sink.prepare()
    sink.send('[{"id_d": 1, "summary_s": "ü\\n"}, {"id_d": 2}]'.encode())
    sink.send(b"[]")
    sink.send(b'[{"id_d": 3}]')
    lines = (tmp_path / "new" / TABLE_FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id_d": 1, "summary_s": "ü\n"},
        {"id_d": 2},
        {"id_d": 3},
    ]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (b'{"id_d":1}\n{"id_d":2', b'{"id_d":1}\n'),
        (b'{"id_d":1}\n', b'{"id_d":1}\n'),
        (b'{"id_d":1', b""),
        (b"", b""),
        (b'{"id_d":1}\n' + b"x" * 200_000, b'{"id_d":1}\n'),
        (b"x" * 65_536, b""),
        (b"\n" + b"x" * 65_536, b"\n"),
    ],
)
def test_table_line_truncated_by_a_crash_is_removed(
    tmp_path: Path, before: bytes, kept: bytes
) -> None:
    (tmp_path / TABLE_FILE).write_bytes(before)
    LocalSink(tmp_path).send(b'[{"id_d": 9}]')
    assert (tmp_path / TABLE_FILE).read_bytes() == kept + b'{"id_d":9}\n'


def test_table_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    sink = LocalSink(tmp_path)

    def send(number: int) -> None:
        sink.send(json.dumps([{"id_d": number, "x": "x" * 10_000}] * 3).encode())

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(send, range(20)))
    lines = (tmp_path / TABLE_FILE).read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["id_d"] for line in lines) == sorted([*range(20)] * 3)


def test_table_shared_by_several_sites_loses_no_row(tmp_path: Path) -> None:
    def write(site: int) -> None:
        sink = LocalSink(tmp_path)
        for n in range(50):
            sink.send(json.dumps([{"site": site, "n": n}]).encode())

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(write, range(8)))

    lines = (tmp_path / "Jira_Audit_CL.jsonl").read_bytes().splitlines()
    found = sorted((row["site"], row["n"]) for row in map(json.loads, lines))
    assert found == [(site, n) for site in range(8) for n in range(50)]


@pytest.mark.parametrize("size", [10, 20_000])
def test_disk_without_room_keeps_nothing_of_the_batch(tmp_path: Path, size: int) -> None:
    script = """
import json, resource, signal, sys
from pathlib import Path
from jira_audit.core.errors import TransientError
from jira_audit.core.records import TABLE_FILE
from jira_audit.edge.local import LocalSink
folder, size = Path(sys.argv[1]), int(sys.argv[2])
sink, table = LocalSink(folder), folder / TABLE_FILE
sink.send(b'[{"id_d": 1}]')
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (table.stat().st_size + size + 40, most))
rows = json.dumps([{"id_d": 2, "x": "x" * size}, {"id_d": 3, "x": "x" * size}]).encode()
try:
    sink.send(rows)
except TransientError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print(table.read_text())
    sink.send(rows)
    print([json.loads(line)["id_d"] for line in table.read_text().splitlines()])
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(size)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == ['{"id_d":1}', "", "[1, 2, 3]"]


def test_disk_that_fails_is_a_transient_error(tmp_path: Path, time: Time) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    ways: list[Callable[[], object]] = [
        lambda: LocalCheckpoints(blocked, time.clock).take(FIRST),
        lambda: LocalLetters(blocked, time.clock).keep(LETTER),
        lambda: LocalSink(blocked).send(b"[]"),
    ]
    for way in ways:
        with pytest.raises(TransientError):
            way()
