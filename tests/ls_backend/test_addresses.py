"""Addresses and their policy; the expected values follow IANA's special-purpose registries."""

import pytest

from ls_backend.addresses import AddressPolicy, FetchError, Url, canonical_host, is_public, plain


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",  # Alibaba's metadata
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",  # Azure's wire server
        "169.254.169.254",  # metadata of most clouds
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",  # Oracle's metadata
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",  # IPv4-compatible
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",  # 169.254.169.254 mapped
        "64:ff9b::a9fe:a9fe",  # the same through NAT64
        "64:ff9b:1::1",  # NAT64 of one's own network
        "2001::1",  # Teredo
        "2001:db8::1",
        "2002:7f00:1::1",  # 127.0.0.1 through 6to4
        "fc00::1",
        "fd00:ec2::254",  # Amazon's metadata
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(plain(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2a00:1450:4001:830::200e",
    ],
)
def test_public_addresses(address):
    assert is_public(plain(address))


def test_a_mapped_address_is_the_one_it_stands_for():
    assert str(plain("::ffff:192.0.2.7")) == "192.0.2.7"
    assert str(plain("fe80::1%eth0")) == "fe80::1"


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("http://Example.ORG", ("http", "example.org", 80), "/"),
        ("HTTPS://example.org.:8443/a b?c=d e#f", ("https", "example.org", 8443), "/a%20b?c=d%20e"),
        ("http://[::1]:8080/x", ("http", "::1", 8080), "/x"),
        ("http://bücher.example/käse.jpg", ("http", "xn--bcher-kva.example", 80), "/k%C3%A4se.jpg"),
        ("http://example.org/a/../../b", ("http", "example.org", 80), "/b"),
        ("http://example.org/%41%2fb", ("http", "example.org", 80), "/%41%2Fb"),
        ("http://example.org/a\r\nX: y", ("http", "example.org", 80), "/a%0D%0AX:%20y"),
        ("http://good.example\\@evil.example/", ("http", "good.example", 80), "/%5C@evil.example/"),
    ],
)
def test_urls_as_they_go_over_the_wire(text, origin, target):
    url = Url.parse(text)
    assert (url.origin, url.target, url.credentials) == (origin, target, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "http://",
        "http://:80/",
        "http://a:99999/",
        "http://a:0/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://exa mple/",
        "http://a\ud800/",
        "http://" + "ü" * 100,
    ],
)
def test_what_is_no_url(text):
    with pytest.raises(ValueError, match=r"^not a valid"):
        Url.parse(text)


def test_credentials_and_queries_are_not_shown():
    url = Url.parse("https://anna:s3cr%40t@example.org/x.jpg?Signature=abc")
    assert url.credentials == ("anna", "s3cr@t")
    assert url.shown == "https://example.org/x.jpg?..."
    assert url.text == "https://example.org/x.jpg?Signature=abc"
    assert "s3cr" not in repr(url)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Photos.Example.", "photos.example"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_canonical_hosts(name, canonical):
    assert canonical_host(name) == canonical


@pytest.mark.parametrize("name", ["", "a/b", "user@a", "a?b", "a:81", "a b"])
def test_what_is_no_host(name):
    with pytest.raises(ValueError, match=r"^not a"):
        canonical_host(name)


def policy(table, **options):
    return AddressPolicy(resolver=lambda host, port: table[host], **options)


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["nas"], "http://nas/"),
        (["nas"], "http://nas:8080/"),
        (["nas:8080"], "http://nas:8080/"),
        (["*.lab"], "http://a.b.lab/"),
    ],
)
def test_hosts_that_are_named_may_have_any_address(hosts, url):
    table = {"nas": ["10.0.0.1"], "a.b.lab": ["10.0.0.1"]}
    assert policy(table, hosts=hosts).addresses(Url.parse(url)) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["nas:8080"], "http://nas/"),
        (["*.lab"], "http://lab/"),
        (["*.lab"], "http://evil-lab/"),
        (["lab"], "http://a.lab/"),
    ],
)
def test_other_hosts_are_not_meant(hosts, url):
    with pytest.raises(FetchError, match="not a public address"):
        AddressPolicy(hosts, resolver=lambda host, port: ["10.0.0.1"]).addresses(Url.parse(url))


def test_of_several_addresses_those_that_are_allowed_are_used():
    table = {"mixed.example": ["169.254.169.254", "8.8.8.8", "::ffff:10.1.2.3", "10.2.0.1"]}
    allowed = policy(table, networks=["10.1.0.0/16"]).addresses(Url.parse("http://mixed.example/"))
    assert allowed == ["8.8.8.8", "10.1.2.3"]


def test_our_own_origin_is_scheme_host_and_port():
    own = policy({"ls": ["127.0.0.1"]}, own=("http", "ls", 8080))
    assert own.addresses(Url.parse("http://ls:8080/x")) == ["127.0.0.1"]
    for other in ("http://ls/", "https://ls:8080/", "http://ls:6379/"):
        with pytest.raises(FetchError, match="not a public address"):
            own.addresses(Url.parse(other))


def test_a_refusal_says_which_setting_would_allow_it():
    with pytest.raises(FetchError) as caught:
        policy({"nas": ["10.0.0.1"]}).addresses(Url.parse("http://anna:geheim@nas:81/data/upload/x.jpg?k=v"))
    assert str(caught.value) == (
        "http://nas:81/data/upload/x.jpg?...: nas (10.0.0.1) is not a public address, so it is not read. If it may be, "
        "add it to fetch.allow_networks (--fetch-allow-networks 10.0.0.1) or fetch.allow_hosts (--fetch-allow-hosts "
        "nas:81). If it is Label Studio, set label_studio_url to it."
    )
