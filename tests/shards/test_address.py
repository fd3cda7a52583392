import pytest

from camembert_bio.shards.address import is_address, join, protocol, redact

SIGNED = "https://user:p4ss@host:8000/a%20b/corpus/?sig=s3cret&se=2030#part"


@pytest.mark.parametrize("place", ["s3://bucket/c", "memory://c", "https://host", "file:///c", "simplecache::s3://b/c"])
def test_addresses(place):
    assert is_address(place)


@pytest.mark.parametrize("place", ["corpus", "/data/corpus", "./a:b", "~/c", "C:/corpus", "", "3s://b"])
def test_folders(place):
    assert not is_address(place) and redact(place) == place


def test_protocol():
    assert [protocol(place) for place in ("S3://b", "https://h", "a::b://c")] == ["s3", "https", "a"]


def test_a_name_is_joined_before_the_query_of_a_web_address_alone():
    assert join(SIGNED, "leaflets/é 1.arrow") == (
        "https://user:p4ss@host:8000/a%20b/corpus/leaflets/%C3%A9%201.arrow?sig=s3cret&se=2030"
    )
    assert join("http://host", "corpus.json") == "http://host/corpus.json"
    assert join("s3://bucket/c?d/", "a#1.arrow") == "s3://bucket/c?d/a#1.arrow"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (SIGNED, "https://***@host:8000/a%20b/corpus/?***"),
        ("s3://key:se/cret@bucket/corpus", "s3://***@bucket/corpus"),
        ("s3://key:se@cret@bucket/corpus", "s3://***@bucket/corpus"),
        ("https://host:8000/corpus@2/c", "https://host:8000/corpus@2/c"),
        ("ftp://user@host/c", "ftp://***@host/c"),
        ("https://host/corpus#part", "https://host/corpus?***"),
        ("https://host?sig=1", "https://host?***"),
        ("hf://datasets/lab/corpus@main", "hf://datasets/lab/corpus@main"),
        ("zip://c::https://u:p@host/c.zip?sig=1", "zip://c::https://***@host/c.zip?***"),
    ],
)
def test_no_secret_is_shown(place, shown):
    assert redact(place) == shown
