"""TLS is checked: a certificate that nobody vouches for ends the call before anything is said."""

import datetime as dt
import ipaddress
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hivemind import outbound
from hivemind.errors import Unreachable


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "cert.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture(autouse=True)
def fresh_trust():
    outbound.trusted.cache_clear()
    yield
    outbound.trusted.cache_clear()


@asynccontextmanager
async def https_server(certificate, requests):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def handle(stream):
        try:
            while data := await stream.receive_some():
                requests.append(data)
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except trio.BrokenResourceError:
            pass  # the client did not like the certificate
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            lambda task_status: trio.serve_ssl_over_tcp(
                handle, 0, context, host="127.0.0.1", https_compatible=True, task_status=task_status
            )
        )
        yield f"https://127.0.0.1:{listeners[0].transport_listener.socket.getsockname()[1]}/"
        nursery.cancel_scope.cancel()


def ask(certificate, requests):
    async def main():
        with trio.fail_after(10):
            async with (
                https_server(certificate, requests) as url,
                outbound.HttpClient() as client,
                client.call(outbound.Target.parse(url), (), b"secret") as reply,
            ):
                return await reply.start(100)

    return trio.run(main)


def test_an_unknown_certificate_is_refused(certificate):
    requests = []
    with pytest.raises(BaseExceptionGroup) as caught:
        ask(certificate, requests)
    assert "certificate verify failed" in str(caught.value.exceptions[0])
    assert isinstance(caught.value.exceptions[0], Unreachable)
    assert requests == []


def test_one_that_the_owner_vouches_for_is_taken(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    requests = []
    assert ask(certificate, requests) == b"ok"
    assert requests


def test_a_certificate_for_another_name_is_refused(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    requests = []

    async def main():
        with trio.fail_after(10):
            async with https_server(certificate, requests) as url, outbound.HttpClient() as client:
                target = outbound.Target.parse(url.replace("127.0.0.1", "localhost"))
                async with client.call(target, (), b"secret"):
                    pass

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main)
    assert "localhost" in str(caught.value.exceptions[0])
    assert isinstance(caught.value.exceptions[0], Unreachable)
    assert requests == []


def test_a_secured_connection_is_used_again_and_closed_by_cancellation(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    requests, connections = [], []
    stalled = trio.Event()

    async def main():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        closed = trio.Event()

        async def handle(stream):
            connections.append(stream)
            try:
                while data := await stream.receive_some():
                    requests.append(data)
                    if b"stall" in data:
                        stalled.set()
                    else:
                        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            except trio.BrokenResourceError:
                pass
            finally:
                closed.set()
                await trio.aclose_forcefully(stream)

        async with trio.open_nursery() as nursery, outbound.HttpClient() as client:
            listeners = await nursery.start(
                lambda task_status: trio.serve_ssl_over_tcp(
                    handle, 0, context, host="127.0.0.1", https_compatible=True, task_status=task_status
                )
            )
            port = listeners[0].transport_listener.socket.getsockname()[1]
            target = outbound.Target.parse(f"https://127.0.0.1:{port}/")

            async def ask(body):
                async with client.call(target, (), body) as reply:
                    return await reply.start(100)

            with trio.fail_after(10):
                assert [await ask(b"x") for _ in range(3)] == [b"ok"] * 3
                assert len(connections) == 1
                async with trio.open_nursery() as inner:
                    inner.start_soon(ask, b"stall")
                    await stalled.wait()
                    inner.cancel_scope.cancel()
                await closed.wait()
            assert client.facts() == {"connections": 0, "in_use": 0}
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_handshake_that_never_ends_is_given_up():
    async def main():
        async def handle(stream):
            while await stream.receive_some():
                pass
            closed.set()

        closed = trio.Event()
        async with trio.open_nursery() as nursery, outbound.HttpClient(connect_seconds=0.05) as client:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)
            )
            target = outbound.Target.parse(f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
            with pytest.raises(Unreachable, match="took too long"):
                async with client.call(target, (), b"x"):
                    pass
            with trio.fail_after(10):
                await closed.wait()
            assert client.facts() == {"connections": 0, "in_use": 0}
            nursery.cancel_scope.cancel()

    trio.run(main)
