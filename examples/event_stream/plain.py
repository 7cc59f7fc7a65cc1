"""Send the news to every reader, as a stream of events over HTTP (server-sent events).

python examples/event_stream/plain.py 7001
curl -N localhost:7001
"""

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class News:
    """What has happened so far; readers wait for more."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self._more = asyncio.Condition()

    async def happen(self, text: str) -> None:
        async with self._more:
            self.items.append(text)
            self._more.notify_all()

    async def since(self, number: int) -> list[str]:
        async with self._more:
            await self._more.wait_for(lambda: len(self.items) > number)
            return self.items[number:]


news = News()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    if not request.startswith(b"GET / "):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    writer.write(HEAD)
    await send_events(writer, 0)


async def send_events(writer: asyncio.StreamWriter, number: int) -> None:
    while True:
        for text in await news.since(number):
            number += 1
            writer.write(f"id: {number}\ndata: {text}\n\n".encode())
        await writer.drain()


async def tick() -> None:
    while True:
        await news.happen(f"something new, for the {len(news.items) + 1}. time")
        await asyncio.sleep(0.1)


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, port=port)
    await asyncio.gather(server.serve_forever(), tick())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} PORT")
    asyncio.run(main(int(sys.argv[1])))
