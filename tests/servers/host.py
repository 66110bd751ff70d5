"""A stand-in for the Functions host as far as queues go: real workers, real queues, and between
them what the host does.

* An output binding that is a list becomes a message for each of its items, once the invocation
  has succeeded.
* Each instance takes up to `batchSize` messages, hidden from the others, runs them at once, and
  with a `newBatchThreshold` of 0 takes more when all have ended.
* Success deletes the message. Failure shows it again after `visibilityTimeout`, and after
  `maxDequeueCount` tries moves it to the queue of the same name and `-poison`.
* An instance that dies deletes nothing: its messages show again when their time has run out.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#hostjson-settings
https://github.com/Azure/azure-sdk-for-net/blob/main/sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues/src/Listeners/QueueListener.cs
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.queue import (
    QueueClient,
    QueueMessage,
    TextBase64DecodePolicy,
    TextBase64EncodePolicy,
)

from tests.servers.worker import Invocation, Worker, WorkerDied

HOST_JSON = Path(__file__).parents[2] / "host.json"


@dataclass(frozen=True)
class QueueCall:
    """One invocation of a queue function."""

    function: str
    message: str
    ended: Invocation


class Host:
    """A context manager: entered, its instances take messages; left, they have ended.

    Of host.json, tries and (without another) batch size are the app's own; a failed message shows
    again after `visible_after` seconds and one whose instance died after `hidden` seconds, which in
    Azure are a minute and ten. `called` has every invocation in the order of its end.
    """

    def __init__(
        self,
        app: Path,
        environment: Mapping[str, str],
        connection: str,
        *,
        instances: int,
        visible_after: int = 1,
        hidden: int = 18,
        batch_size: int | None = None,
    ) -> None:
        self.called: list[QueueCall] = []
        self.poisoned: list[str] = []
        self._queues = json.loads(HOST_JSON.read_text(encoding="utf-8"))["extensions"]["queues"]
        self._batch_size = batch_size or self._queues["batchSize"]
        self._connection = connection
        self._visible_after, self._hidden = visible_after, hidden
        self._workers = [Worker(app, environment) for _ in range(instances)]
        self._exit = contextlib.ExitStack()
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            with ThreadPoolExecutor() as starting:
                list(starting.map(exits.enter_context, self._workers))
            bindings = self._workers[0].functions
            triggers = {
                name: binding["queueName"]
                for name, all_ in bindings.items()
                for binding in all_
                if binding["type"] == "queueTrigger"
            }
            for queue in triggers.values():
                with self._client(queue) as client, contextlib.suppress(ResourceExistsError):
                    client.create_queue()
            threads = [
                threading.Thread(target=self._listen, args=(worker, function, queue))
                for worker in self._workers
                for function, queue in triggers.items()
            ]
            for thread in threads:
                thread.start()
                exits.callback(thread.join)
            exits.callback(self._stop.set)
            self._exit = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def tick(self) -> Invocation:
        """Tick the timer on the first instance, and put its output onto the queue."""
        worker = self._workers[0]
        ended = worker.invoke("poll")
        out = next(b for b in worker.functions["poll"] if b["type"] == "queue")
        if ended.ok and (messages := ended.out.get(out["name"])):
            with self._client(out["queueName"]) as client, ThreadPoolExecutor(8) as sending:
                list(sending.map(client.send_message, messages))
        return ended

    def kill(self, instance: int) -> None:
        """An instance is gone, with all it was doing."""
        self._workers[instance].kill()

    def messages_left(self, queue: str) -> int:
        """How many messages there are, hidden ones too."""
        with self._client(queue) as client:
            return client.get_queue_properties().approximate_message_count or 0

    def wait_until_empty(self, queue: str, seconds: float) -> float:
        """Wait until the queue is empty; returns the seconds it took."""
        began = time.monotonic()
        while self.messages_left(queue):
            assert time.monotonic() - began < seconds, "the queue did not become empty"
            time.sleep(0.05)
        return time.monotonic() - began

    def _client(self, queue: str) -> QueueClient:
        return QueueClient.from_connection_string(
            self._connection,
            queue,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )

    def _listen(self, worker: Worker, function: str, queue: str) -> None:
        size = self._batch_size
        with self._client(queue) as client, ThreadPoolExecutor(size) as running:
            while not self._stop.is_set():
                batch = client.receive_messages(max_messages=size, visibility_timeout=self._hidden)
                taken = list(batch)
                calls = [running.submit(self._run, worker, function, client, m) for m in taken]
                try:
                    for call in calls:
                        call.result()
                except WorkerDied:
                    return
                if not taken:
                    self._stop.wait(0.1)

    def _run(
        self, worker: Worker, function: str, client: QueueClient, message: QueueMessage
    ) -> None:
        ended = worker.invoke(function, message=message.content)
        with self._lock:
            self.called.append(QueueCall(function, message.content, ended))
        if ended.ok:
            _ignore_if_gone(client.delete_message, message)
        elif (message.dequeue_count or 0) >= self._queues["maxDequeueCount"]:
            with self._client(f"{client.queue_name}-poison") as poison:
                poison.send_message(message.content)
            self.poisoned.append(message.content)
            _ignore_if_gone(client.delete_message, message)
        else:
            _ignore_if_gone(client.update_message, message, visibility_timeout=self._visible_after)


def _ignore_if_gone(call: Any, message: QueueMessage, **more: Any) -> None:
    """Its time had run out, and another instance has it: what it has done it has done."""
    try:
        call(message, **more)
    except HttpResponseError as error:
        if error.status_code not in {400, 404}:
            raise


def canonical_lines(called: Sequence[QueueCall]) -> list[str]:
    """Every canonical line of the connector's."""
    return [
        line.message
        for each in called
        for line in each.ended.logs
        if line.message.startswith("jira_audit site=")
    ]
