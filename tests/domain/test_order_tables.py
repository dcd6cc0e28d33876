"""Tables as spreadsheets write them are rows of an order; what is wrong names row and column."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.errors import OrderRejected
from darkroom.orders import read_order
from darkroom.orders.tables import Table, read_table

ROWS = ({"colour": "red", "product": "chair"}, {"colour": "green", "product": "lamp"})


@pytest.mark.parametrize(
    "data",
    [
        b"colour,product\nred,chair\ngreen,lamp\n",
        b"\xef\xbb\xbfcolour,product\r\nred,chair\r\ngreen,lamp",
        b"Colour;Product\nred;chair\ngreen;lamp\n",
        b"colour\tproduct\nred\tchair\ngreen\tlamp\n",
        b'"colour","product"\n"red","chair"\n"green","lamp"\n',
        b" colour , product \n red , chair \n green , lamp \n",
        b"\n\ncolour,product\n\nred,chair\n,\n  \ngreen,lamp\n\n",
        b"colour,product,,\nred,chair,,\ngreen,lamp,,\n",
        b"sep=;\ncolour;product\nred;chair\ngreen;lamp\n",
        b"colour,product\rred,chair\rgreen,lamp\r",
        "colour\tproduct\nred\tchair\ngreen\tlamp\n".encode("utf-16"),
    ],
)
def test_however_it_is_written_it_is_the_same_table(data: bytes) -> None:
    assert read_table(data).rows == ROWS


def test_cells_keep_separators_quotes_and_lines_and_an_empty_one_is_absent() -> None:
    table = read_table('größe;Aspect Ratio;note\n"a; ""b""\nc";1:1;\nd;;x'.encode())
    assert table.rows == ({"größe": 'a; "b"\nc', "aspect_ratio": "1:1"}, {"größe": "d", "note": "x"})
    assert (table.columns, table.names) == (("größe", "Aspect Ratio", "note"), ("größe", "aspect_ratio", "note"))


def test_rows_are_numbered_as_a_spreadsheet_does() -> None:
    assert read_table(b'a,b\n\n"1\n2",x\n\n3,y\n').numbers == (3, 5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "document: is empty; the first row of a table must name its columns"),
        (b"a,b\n", "document: has no rows below the names of its columns"),
        (b"a,b\n,\n", "document: has no rows below the names of its columns"),
        (b"colour,b,Colour\n1,2,3", "row 1, column 3: 'Colour' is named twice, as column 1 'colour' is the same"),
        (b"a b,a-b\n1,2", "row 1, column 2: 'a-b' is named twice, as column 1 'a b' is the same"),
        (b"a,{b}\n1,2", "row 1, column 2: '{b}' has a brace"),
        (b"a," + b"x" * 101 + b"\n1,2", "row 1, column 2: has more than 100 characters; the first row must name"),
        (b"a,b\n1,2,3\n", "row 2, column 3: has a value, but the last column is 2; put a value with a separator in q"),
        (b"a,,\n1,,\n2,,x\n", "row 3, column 3: has a value, but the column has no name in row 1"),
        (b'a,b\n1,"2\n3,4\n', "row 2, column b: has a quote that is not closed"),
        (b'a,b\n\n1,"2"x\n', 'row 3, column b: has text after a closing quote; write a quote within quotes as ""'),
        (b'a,b\n1,"' + b"x" * 140_000 + b'"', "row 2, column b: has more than 131,072 characters; is a closing quote"),
        (b'"' + b"x" * 140_000 + b",b\n1,2\n", "row 1, column 1: has more than 131,072 characters; is a closing quote"),
        (b"x" * 140_000 + b";b\n1;2\n", "row 1, column 1: has more than 131,072 characters; is a closing quote"),
        (b"a,b\n1,2\n3,\xe9\n", "row 3, column b: is not UTF-8 text; save the table as CSV (UTF-8)"),
        (b"a,\xe9\n1,2\n", "row 1, column 2: is not UTF-8 text"),
        (b"a,b\n1,\0\n", "row 2, column b: contains a NUL character; remove it"),
        (b"PK\x03\x04\x14\0", "document: is a spreadsheet's own file; save the sheet as CSV (UTF-8)"),
        (b"\xd0\xcf\x11\xe0\xa1", "document: is a spreadsheet's own file"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_rejected_in_one_line_that_names_row_and_column(data: bytes, said: str) -> None:
    with pytest.raises(OrderRejected) as caught:
        read_table(data)
    assert str(caught.value).startswith(said)


def rejected(data: bytes, **values: str) -> str:
    table = read_table(data)
    with pytest.raises(OrderRejected) as caught, table.naming_rows():
        read_order(table.document(values))
    return str(caught.value)


def test_what_the_order_rejects_names_row_and_column_too() -> None:
    table = b"Colour,Aspect Ratio,Quantity\nred,1:1,2\n\n,16:9,3\nblue,1:1,0\n"
    assert rejected(table).startswith("row 2, column prompt: is missing")
    assert rejected(table, prompt="a {colour}").startswith("row 4, column Colour: has no value, and the prompt needs")
    assert rejected(table, prompt="a").startswith("row 5, column Quantity: 0 is not between 1 and 10000")
    assert rejected(b"references\n7 x", prompt="a").startswith("row 2, column references: ")
    assert rejected(b"reference\na.jpg", prompt="a").startswith("row 2, column reference: 'a.jpg' is not among")
    assert rejected(b"a\n1", prompt="a", priority="9").startswith("priority: ")


def test_values_for_all_rows_are_fields_and_variables() -> None:
    table = read_table(b"colour,quantity\nred,\nblue,5\n")
    read = read_order(
        table.document({"prompt": "A {colour} {light}", "light": "dawn", "quantity": "2", "priority": "1"})
    )
    assert [(stage.prompt, stage.quantity, stage.label) for stage in read.order.stages] == [
        ("A red dawn", 2, "red"),
        ("A blue dawn", 5, "blue"),
    ]
    assert (read.order.priority, read.unknown_keys) == (1, ())


cell = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=6).map(str.strip)


@given(
    rows=st.lists(st.lists(cell, min_size=3, max_size=3).filter(any), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_a_spreadsheet_writes_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *rows])
    expected = tuple({name: value for name, value in zip("abc", row, strict=True) if value} for row in rows)
    assert read_table(text.getvalue().encode()).rows == expected


@given(data=st.binary(max_size=60) | st.text(alphabet='a,";\n\t\r x', max_size=40).map(str.encode))
def test_whatever_comes_is_a_table_or_one_line(data: bytes) -> None:
    try:
        assert isinstance(read_table(data), Table)
    except OrderRejected as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right
