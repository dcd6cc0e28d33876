"""Tables over HTTP: a CSV body is an order, a stage per row; what is wrong names row and column."""

from typing import Any

import pytest

from tests.support.stacks.api import ApiStack, is_a_problem

TABLE = "colour,product,quantity\nred,chair,3\n\ngreen,lamp,\n"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
PROMPT = "A {colour} {product}, {light}"
VALUES = {"prompt": PROMPT, "light": "dawn", "quantity": "2"}


async def test_a_table_is_quoted_and_ordered_as_the_document_that_it_becomes(api: ApiStack) -> None:
    quote = (await api.http.post("/api/jobs/quote", content=TABLE, headers=CSV, params=VALUES)).json()
    assert (quote["images"], quote["credits"], quote["warnings"]) == (5, 100, [])
    assert quote["stages"] == [
        {
            "stage_index": index,
            "label": label,
            "prompt": prompt,
            "quantity": quantity,
            "aspect_ratio": "16:9",
            "image_size": "1K",
            "price": 20,
            "format": "webp",
            "references": [],
            "credits": quantity * 20,
        }
        for index, label, prompt, quantity in (
            (0, "red, chair", "A red chair, dawn", 3),
            (1, "green, lamp", "A green lamp, dawn", 2),
        )
    ]
    read = (await api.http.post("/api/tables", content=TABLE, headers=CSV)).json()
    assert (read["columns"], read["numbers"]) == (["colour", "product", "quantity"], [2, 4])
    same = await api.http.post("/api/jobs/quote", json={**VALUES, "rows": read["rows"]})
    assert same.json() == quote

    ordered = await api.http.post("/api/jobs", content=TABLE, headers=CSV, params=VALUES)
    assert ordered.status_code == 202, ordered.text
    ended = await api.ended(ordered.json()["job_id"])
    assert (ended["status"], ended["job_type"], ended["completed_images"]) == ("completed", "template", 5)
    assert [stage["label"] for stage in ended["stages"]] == ["red, chair", "green, lamp"]
    again = (await api.http.get(f"/api/jobs/{ended['job_id']}/order")).json()["document"]
    assert (again["job_type"], again["prompt"], len(again["rows"])) == ("template", PROMPT, 2)
    assert (await api.http.post("/api/jobs/quote", json=again)).json() | {"available": 0} == quote | {"available": 0}


@pytest.mark.parametrize("document", [None, {"variables": {"colour": ["red"], "product": ["chair"]}, **VALUES}])
async def test_the_same_key_and_body_find_the_same_job(quiet: ApiStack, document: Any) -> None:
    body: dict[str, Any] = {"json": document} if document else {"content": TABLE, "params": VALUES}
    headers = {"Idempotency-Key": f"spring-{document is None}", **({} if document else CSV)}
    first, second = [await quiet.http.post("/api/jobs", headers=headers, **body) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202), second.text
    assert (first.json()["found"], second.json()["found"]) == (False, True)
    assert first.json()["job_id"] == second.json()["job_id"]
    other = {"json": {**document, "quantity": 3}} if document else {"content": TABLE + "a,b,1\n", "params": VALUES}
    refused = await quiet.http.post("/api/jobs", headers=headers, **other)
    assert refused.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("table", "values", "field", "said"),
    [
        ("", {}, "document", "is empty"),
        (TABLE, {}, "row 2, column prompt", "is missing; give one prompt for all rows"),
        (TABLE, {"prompt": "{size}"}, "row 2, column size", "has no value, and the prompt needs {size}"),
        ("a,quantity\n1,2\n\n\n3,0\n", {"prompt": "x"}, "row 5, column quantity", "0 is not between 1 and 10000"),
        ("Aspect Ratio\n7:5\n", {"prompt": "x"}, "row 2, column Aspect Ratio", "'7:5' is not supported by"),
        ("references\n99\n", {"prompt": "x"}, "row 2, column references", "attachment 99 does not exist"),
        ("reference\na.jpg\n", {"prompt": "x"}, "row 2, column reference", "'a.jpg' is not among the files given"),
        ('a,b\n1,"x\n', {"prompt": "x"}, "row 2, column b", "has a quote that is not closed"),
        (b"a\n\xff\n", {"prompt": "x"}, "row 2, column a", "is not UTF-8 text"),
        ("a\n1\n", {"prompt": "x", "priority": "9"}, "priority", ""),
        ("a\n1\n", [("prompt", "x"), ("prompt", "y")], "prompt", "is given twice; keep one of them"),
        ("a\n1\n", {"prompt": "x", "rows": "5"}, "rows", "cannot be set for a table, because its rows are the"),
        ("a\n1\n", {"prompt": "x", "job_type": "storybook"}, "job_type", "cannot be set for a table, which is always"),
    ],
)
async def test_a_wrong_table_is_rejected_by_row_and_column_and_leaves_nothing(
    quiet: ApiStack, table: str | bytes, values: Any, field: str, said: str
) -> None:
    for route in ("/api/jobs", "/api/jobs/quote"):
        answer = await quiet.http.post(route, content=table or b" ", headers=CSV, params=values)
        assert answer.status_code == 422, answer.text
        is_a_problem(answer)
        assert answer.json()["field"] == field
        assert answer.json()["detail"].startswith(f"{field}: {said}")
    assert await quiet.parts.records.job_page(10) == []


async def test_what_is_no_table_is_not_read_as_one(quiet: ApiStack) -> None:
    wrong = await quiet.http.post("/api/tables", json={})
    assert (wrong.status_code, wrong.json()["detail"]) == (
        415,
        "application/json is not supported here; send text/csv or text/tab-separated-values",
    )
    broken = await quiet.http.post("/api/tables", content='a\n"', headers=CSV)
    assert (broken.status_code, broken.json()["field"]) == (422, "row 2, column a")


async def test_a_quote_shows_the_beginning_of_a_long_prompt(quiet: ApiStack) -> None:
    quote = (await quiet.http.post("/api/jobs/quote", json={"prompt": "x" * 600, "quantity": 1})).json()
    assert quote["stages"][0]["prompt"] == "x" * 499 + "…"


async def test_a_thousand_rows_are_quoted(quiet: ApiStack) -> None:
    table = "number\n" + "\n".join(str(number) for number in range(1_000))
    quote = (await quiet.http.post("/api/jobs/quote", content=table, headers=CSV, params={"prompt": "{number}"})).json()
    assert (quote["images"], len(quote["stages"]), quote["stages"][999]["label"]) == (1_000, 1_000, "999")
