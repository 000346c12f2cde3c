"""Clients that wait for an answer each: what comes of each path is counted."""

import asyncio

from load.measure.closed_loop import ask_all


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            if path == "/never":
                return
            status = {"/busy": b"503 Busy", "/no": b"404 No"}.get(path, b"200 OK")
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
    except asyncio.IncompleteReadError:
        return
    finally:
        writer.close()


async def test_each_path_is_asked_once_and_counted() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    paths = ["/a"] * 20 + ["/busy", "/no", "/never", "/b"]
    answers = await ask_all(f"http://127.0.0.1:{port}", paths, connections=3)
    server.close()
    assert (answers.asked, answers.refused, answers.wrong, answers.timed_out) == (24, 1, 1, 1)
    assert len(answers.seconds) == 23
    assert answers.per_s > 0
