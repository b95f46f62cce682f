"""Who is admitted: by a proxy's header, and to open paths."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshot_assets.dashboard.options import AccessOptions
from snapshot_assets_tests.dashboard.http.application import (
    HEADER,
    PASSWORD,
    TRUSTED,
    application,
    ask,
    basic,
)


def is_trusted(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in TRUSTED)


def test_without_options_everybody_is_served_without_a_name() -> None:
    assert ask(application(AccessOptions()), X_Remote_User="ana") == (200, "you are None")


@given(
    peer=st.one_of(
        st.ip_addresses().map(str),
        st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
        st.ip_addresses(network="10.0.0.0/14").map(str),
        st.sampled_from(["", "localhost", "unix", "10.1.0.1, 192.0.2.1", "10.1.0.256"]),
    ),
    user=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
    forwarded=st.sampled_from(["127.0.0.1", "10.1.0.7"]),
    password=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_header_from_elsewhere_never_signs_in(
    password_file: Path, peer: str, user: str, forwarded: str, password: bool
) -> None:
    path = password_file if password else None
    server = application(AccessOptions(HEADER, TRUSTED, path))
    reported = ask(
        server,
        peer=peer,
        X_Remote_User=user,
        X_Forwarded_For=forwarded,
        Forwarded=f"for={forwarded}",
        Authorization=basic("ana", PASSWORD),
    )
    if is_trusted(peer):
        assert reported[0] in {200, 401, 403}
    else:
        assert reported[0] == 403
        assert "accepted only from trusted proxies" in reported[1]


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "10.1.0.255", "::ffff:10.1.0.1", "fd00::9", "fe80::1%eth0"]
)
def test_a_trusted_proxy_says_who_asks(peer: str) -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    assert ask(server, peer=peer, X_Remote_User="ana") == (200, "you are ana")


def test_names_are_utf_8() -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    sent = "Zoë 😀".encode().decode("latin-1")
    assert ask(server, X_Remote_User=sent) == (200, "you are Zoë 😀")
    assert ask(server, X_Remote_User="Zo\xeb") == (200, "you are Zo\N{REPLACEMENT CHARACTER}")


def test_without_the_header_nobody_is_signed_in() -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    status, reported = ask(server)
    assert status == 401
    assert "through the reverse proxy" in reported
    assert ask(server, X_Remote_User="  ")[0] == 401
    assert ask(server, Authorization=basic("ana", "x"))[0] == 401


def test_a_proxy_that_adds_to_the_clients_header_is_found_out() -> None:
    status, reported = ask(application(AccessOptions(HEADER, TRUSTED)), X_Remote_User="root, ana")
    assert status == 403
    assert "more than once" in reported


def test_either_suffices(password_file: Path) -> None:
    server = application(AccessOptions(HEADER, TRUSTED, password_file))
    assert ask(server, X_Remote_User="eve") == (200, "you are eve")
    # The login at the proxy, which it passes on, is not one of ours.
    reported = ask(server, X_Remote_User="eve", Authorization=basic("eve", "proxy's"))
    assert reported == (200, "you are eve")
    reported = ask(server, peer="192.0.2.1", Authorization=basic("ana", PASSWORD))
    assert reported == (200, "you are ana")
    assert ask(server)[0] == 401


@pytest.mark.parametrize("prefix", ["/", "/usage/"])
def test_health_is_open_and_metrics_only_by_option(password_file: Path, prefix: str) -> None:
    closed = application(AccessOptions(password_file=password_file), prefix)
    reported = AccessOptions(password_file=password_file, open_metrics=True)
    opened = application(reported, prefix)
    for server, name, status in (
        (closed, "healthz", 200),
        (closed, "metrics", 401),
        (opened, "healthz", 200),
        (opened, "metrics", 200),
        (opened, "whoami", 401),
        (opened, "healthz/", 401),
        (opened, "metrics/../whoami", 401),
        (opened, "absent", 401),
    ):
        assert ask(server, f"{prefix}{name}")[0] == status, name
    assert ask(closed, f"{prefix}metrics", Authorization=basic("ana", PASSWORD))[0] == 200
