"""That the blob service the other tests rely on is up and knows leases. Nothing of the
connector.
"""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import ContainerClient

pytestmark = pytest.mark.servers


def error_code(error: HttpResponseError) -> object:
    return error.error_code  # type: ignore[attr-defined] # the storage library adds it


def test_lease_is_refused_to_a_second_holder(blob_container: ContainerClient) -> None:
    blob = blob_container.upload_blob("checkpoint.json", b"{}")
    lease = blob.acquire_lease(15)

    with pytest.raises(ResourceExistsError) as refused:
        blob.acquire_lease(15)

    assert error_code(refused.value) == "LeaseAlreadyPresent"
    lease.release()
    blob.acquire_lease(15).release()


def test_lease_is_required_to_write_its_blob(blob_container: ContainerClient) -> None:
    blob = blob_container.upload_blob("checkpoint.json", b"{}")
    lease = blob.acquire_lease(15)

    with pytest.raises(HttpResponseError) as refused:
        blob.upload_blob(b'{"v": 1}', overwrite=True)
    blob.upload_blob(b'{"v": 2}', overwrite=True, lease=lease)

    assert error_code(refused.value) == "LeaseIdMissing"
    assert blob.download_blob().readall() == b'{"v": 2}'


def test_container_is_new_for_each_test(blob_container: ContainerClient) -> None:
    assert list(blob_container.list_blob_names()) == []
