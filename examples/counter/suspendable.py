"""Send every client a number, ten times a second, also across outages, with nothing held meanwhile.

python examples/counter/suspendable.py 7000
nc localhost 7000
"""

import asyncio
import sys

import sessionlayer as migrate


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int = 0) -> None:
    session = await migrate.aio_session(writer, optional=True)
    session.register_handler(lambda session: migrate.internal("count"))
    while True:
        writer.write(b"%d\n" % index)
        index += 1
        session.store("index", b"%d" % index)
        await writer.drain()
        await asyncio.sleep(0.1)


@migrate.function("count")
async def count(session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await serve(reader, writer, int(session.retrieve("index")))


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, port=port)
    await server.serve_forever()


if len(sys.argv) != 2:
    sys.exit(f"usage: python {sys.argv[0]} PORT")
asyncio.run(main(int(sys.argv[1])))
