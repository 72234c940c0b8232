"""Request headers: hpack reads what we write, and equal headers are the same bytes."""

from __future__ import annotations

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.rpc.http2.header_cache import LiteralEncoder
from milvus_coord.rpc.http2.unary import request_headers, timeout_header

_TEXT = st.binary(max_size=20) | st.binary(min_size=120, max_size=300)


@given(st.lists(st.lists(st.tuples(_TEXT, _TEXT), max_size=5), max_size=4))
def test_hpack_reads_it(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    encoder, decoder = LiteralEncoder(), Decoder(max_header_list_size=1 << 20)
    for headers in blocks:
        block = encoder.encode(headers)
        assert [tuple(pair) for pair in decoder.decode(block, raw=True)] == headers
        assert encoder.encode(headers) is block


def test_a_smaller_table_is_acknowledged_once() -> None:
    encoder, decoder = LiteralEncoder(), Decoder()
    decoder.max_allowed_table_size = 100
    headers = [(b"a", b"b")]
    encoder.header_table_size = 100
    assert [tuple(pair) for pair in decoder.decode(encoder.encode(headers), raw=True)] == headers
    assert decoder.header_table.maxsize == 0
    assert encoder.encode(headers)[0] == 0


def test_what_a_call_says() -> None:
    headers = request_headers(
        "/s/M", authority="h:1", scheme="http", metadata={"cluster": "by-dev"}
    )
    assert headers[:4] == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/s/M"),
        (b":authority", b"h:1"),
    ]
    assert (b"te", b"trailers") in headers
    assert (b"content-type", b"application/grpc") in headers
    assert headers[-1] == (b"cluster", b"by-dev")


@pytest.mark.parametrize(
    ("timeout_s", "value"),
    [(-1, b"1m"), (0.0004, b"1m"), (0.25, b"250m"), (9.91, b"10000m"), (1e9, b"99999999m")],
)
def test_timeouts_are_rounded_up(timeout_s: float, value: bytes) -> None:
    assert timeout_header(timeout_s) == (b"grpc-timeout", value)
