"""The bare handler that load is compared with."""

from aiohttp.test_utils import TestClient, TestServer

from load.measure.baseline import application, in_turn


async def test_returns_the_bodies_in_turn_for_any_path() -> None:
    async with TestClient(TestServer(application(in_turn([b'{"id":1}', b'[{"id":2}]'])))) as client:
        answers = [await client.get(path) for path in ("/v1/graph/1?depth=2", "/x", "/y")]
        assert [await answer.text() for answer in answers] == ['{"id":1}', '[{"id":2}]', '{"id":1}']
        assert answers[0].headers["Cache-Status"].endswith("; hit")
        assert answers[0].headers["Content-Type"] == "application/json"
