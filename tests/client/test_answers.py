"""Errors that come as answers: recorded ones of real services, and generated ones."""

import pytest

from retriever.client.answers import refuse_error_table, refuse_web_page
from retriever.errors import AnswerCut, FetchError
from retriever.formats import read_bytes


def test_viziers_error_that_arrives_as_200(real_data) -> None:
    body = (real_data / "services" / "vizier" / "no_server_error.xml").read_bytes()
    with pytest.raises(FetchError, match="not currently reachable") as caught:
        refuse_error_table(body, "vizier")
    assert caught.value.passing


@pytest.mark.parametrize(
    "name", ["vizier/viz.xml", "ipac/irsa/Cone.xml", "gaia/1710099405832VAL-result.vot", "obscore-image.xml"]
)
def test_real_answers_without_an_error_pass(real_data, name: str) -> None:
    body = (real_data / "services" / name).read_bytes()
    refuse_web_page(body, name)
    refuse_error_table(body, name)


def test_a_real_answer_of_gaia_is_read_whole(real_data) -> None:
    body = (real_data / "services" / "gaia" / "1710099405832VAL-result.vot").read_bytes()
    table = read_bytes(body, "gaia.vot")
    assert table.n_rows > 0 and "source_id" in table.columns and table.columns["source_id"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("body", "kind", "passing"),
    [
        (b'<INFO name="QUERY_STATUS" value="ERROR">no column x</INFO>', FetchError, False),
        (b"<INFO value='error' name='QUERY_STATUS'/>", FetchError, False),
        (b'<vot:INFO name="QUERY_STATUS" value="OVERFLOW"/>', AnswerCut, False),
        (b'<INFO ID="Error" name="Error" value="down"/>', FetchError, True),
    ],
)
def test_errors_in_tables(body: bytes, kind: type, passing: bool) -> None:
    with pytest.raises(kind) as caught:
        refuse_error_table(b"<VOTABLE>" + body + b"</VOTABLE>", "somewhere")
    assert caught.value.passing is passing


def test_web_pages_are_no_tables() -> None:
    for body in (b"  <!DOCTYPE HTML><p>x", b"<HTML><TITLE>Down</TITLE>"):
        with pytest.raises(FetchError, match="web page"):
            refuse_web_page(body, "somewhere")
    refuse_web_page(b"oid,mjd\n", "somewhere")
